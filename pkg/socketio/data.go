package socketio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Data is socket.data: a JSON object that belongs to the socket and travels with it, so that an instance that takes the
// socket over has it too, and that FetchSockets shows to all instances. It begins with what the auth service gave, for each
// new connection: a client that comes back has nothing else. Safe for concurrent use.
type Data struct{ socket *Socket }

// Get decodes the value of key into target, by the rules of encoding/json, and reports whether there is one; the error is
// that of the decoding.
func (d Data) Get(key string, target any) (bool, error) {
	d.socket.mu.Lock()
	raw, ok := d.socket.data[key]
	d.socket.mu.Unlock()
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(raw, target); err != nil {
		return true, fmt.Errorf("data %.80q: %w", key, err)
	}
	return true, nil
}

// maxData is how large socket.data may become, so that it fits into one message of the mesh wherever it is asked for.
const maxData = 512 << 10

// Set gives key a value, encoded by the rules of encoding/json; binary is base64 text here. It returns once the change is
// on its way, like Emit, and with its errors: after the disconnect ErrDisconnected. It returns ErrTooLarge if all keys and
// values together exceed 512 KiB. An error changes nothing.
func (d Data) Set(key string, value any) error {
	raw, err := appendJSON(nil, value)
	if err != nil {
		return fmt.Errorf("data %.80q: %w: %w", key, ErrEncode, err)
	}
	return d.change([]string{key, string(raw)}, len(key)+len(raw), func(data map[string]json.RawMessage) { data[key] = raw })
}

// Delete removes keys; unknown ones are ignored. It returns what Set does.
func (d Data) Delete(keys ...string) error {
	pairs := make([]string, 0, 2*len(keys))
	for _, key := range keys {
		pairs = append(pairs, key, "")
	}
	return d.change(pairs, 0, func(data map[string]json.RawMessage) {
		for _, key := range keys {
			delete(data, key)
		}
	})
}

// Keys returns the keys that there are now, sorted.
func (d Data) Keys() []string {
	d.socket.mu.Lock()
	defer d.socket.mu.Unlock()
	return slices.Sorted(maps.Keys(d.socket.data))
}

// MarshalJSON returns the whole object.
func (d Data) MarshalJSON() ([]byte, error) {
	d.socket.mu.Lock()
	defer d.socket.mu.Unlock()
	if d.socket.data == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(d.socket.data)
}

// change sets or deletes keys; more is the size of what is set.
func (d Data) change(pairs []string, more int, apply func(map[string]json.RawMessage)) error {
	s := d.socket
	s.changes.Lock() // the order here is the order of the ring
	defer s.changes.Unlock()
	if more > 0 {
		if size := d.without(pairs[0]) + more; size > maxData {
			return fmt.Errorf("%w: socket data of %d bytes", ErrTooLarge, size)
		}
	}
	r := wire.Record{Kind: wire.KindData, Body: wire.AppendStrings(nil, pairs)}
	if err := s.change(&r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
		s.data = map[string]json.RawMessage{}
	}
	apply(s.data)
	return nil
}

// without returns the size of the other keys and their values.
func (d Data) without(key string) (size int) {
	d.socket.mu.Lock()
	defer d.socket.mu.Unlock()
	for other, raw := range d.socket.data {
		if other != key {
			size += len(other) + len(raw)
		}
	}
	return size
}

// parseData reads the object that the auth service gave.
func parseData(raw []byte) (map[string]json.RawMessage, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	var data map[string]json.RawMessage
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, fmt.Errorf("socket data: %w", err)
	}
	if len(data) == 0 {
		return nil, nil
	}
	return data, nil
}
