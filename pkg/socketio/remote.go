package socketio

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
)

// RemoteSocket is a socket anywhere in the mesh, as its edge described it at one moment: what it tells does not change any
// more. What is done to it reaches the socket if it is still there, in the order of this Server's other operations, and
// does nothing, without an error, if the client has left or come back as another socket. Safe for concurrent use.
type RemoteSocket struct {
	namespace *Namespace
	id, user  string
	handshake Handshake
	rooms     []string
	data      map[string]json.RawMessage
}

func newRemoteSocket(n *Namespace, info *siomeshv1.SocketInfo) (*RemoteSocket, error) {
	data, err := parseData(info.GetData())
	if err != nil {
		return nil, err
	}
	s := &RemoteSocket{namespace: n, id: info.GetId(), user: info.GetUser(), handshake: newHandshake(info.GetHandshake()), data: data}
	for _, room := range info.GetRooms() {
		s.rooms = append(s.rooms, string(room))
	}
	return s, nil
}

// remote describes a socket of this instance.
func (s *Socket) remote(fields Fields) *RemoteSocket {
	r := &RemoteSocket{namespace: s.ns, id: s.id, user: s.user}
	if fields&WithHandshake != 0 {
		r.handshake = s.Handshake()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fields&WithRooms != 0 {
		r.rooms = s.roomsNow()
	}
	if fields&WithData != 0 {
		r.data = maps.Clone(s.data)
	}
	return r
}

// ID returns the public id, which is also its own room.
func (s *RemoteSocket) ID() string { return s.id }

// User returns the user the auth service named, or "".
func (s *RemoteSocket) User() string { return s.user }

// Namespace returns the namespace in which it was found.
func (s *RemoteSocket) Namespace() *Namespace { return s.namespace }

// Handshake returns what the client sent when it connected (CLU-016); nothing if EachSocket was not asked for
// WithHandshake.
func (s *RemoteSocket) Handshake() Handshake { return s.handshake }

// Rooms returns the rooms it was in: its own first, then the others sorted; none if EachSocket was not asked for WithRooms.
func (s *RemoteSocket) Rooms() []string { return slices.Clone(s.rooms) }

// Data returns what its socket.data was; nothing if EachSocket was not asked for WithData. Only the instance that has the
// socket can change it.
func (s *RemoteSocket) Data() RemoteData { return RemoteData{data: s.data} }

// Emit sends an event to the client, wherever it is; see BroadcastOperator.Emit.
func (s *RemoteSocket) Emit(event string, args ...any) error { return s.self().Emit(event, args...) }

// Send is Emit of the event "message".
func (s *RemoteSocket) Send(args ...any) error { return s.self().Send(args...) }

// Join puts the socket into rooms; see BroadcastOperator.SocketsJoin.
func (s *RemoteSocket) Join(rooms ...string) error { return s.self().SocketsJoin(rooms...) }

// Leave takes the socket out of rooms; see BroadcastOperator.SocketsLeave.
func (s *RemoteSocket) Leave(rooms ...string) error { return s.self().SocketsLeave(rooms...) }

// Disconnect takes the client out of the namespace; with closeConnection it leaves all, and its connection is closed. See
// BroadcastOperator.DisconnectSockets.
func (s *RemoteSocket) Disconnect(closeConnection bool) error {
	return s.self().DisconnectSockets(closeConnection)
}

// self selects the socket.
func (s *RemoteSocket) self() BroadcastOperator { return s.namespace.To(s.id) }

// RemoteData is a copy of socket.data.
type RemoteData struct{ data map[string]json.RawMessage }

// Get decodes the value of key into target and reports whether there is one.
func (d RemoteData) Get(key string, target any) (bool, error) {
	raw, ok := d.data[key]
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(raw, target); err != nil {
		return true, fmt.Errorf("data %.80q: %w", key, err)
	}
	return true, nil
}

// Keys returns the keys, sorted.
func (d RemoteData) Keys() []string { return slices.Sorted(maps.Keys(d.data)) }

// MarshalJSON returns the whole object.
func (d RemoteData) MarshalJSON() ([]byte, error) {
	if d.data == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(d.data)
}
