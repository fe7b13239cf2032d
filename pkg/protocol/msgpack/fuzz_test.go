package msgpack_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/pkg/protocol/msgpack"
)

// Whatever is read is a packet that the other parser reads too, and Append writes a message that is read as the same.
func FuzzBinary(f *testing.F) {
	good, bad := vectors(f)
	for _, v := range append(good, bad...) {
		f.Add(v.wire(f))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		before := bytes.Clone(wire)
		got, err := read(t, msgpack.NewDecoder(protocol.Limits{}), wire)
		if !bytes.Equal(wire, before) {
			t.Fatalf("reading changed the message: %x, was %x", wire, before)
		}
		if err != nil {
			return
		}
		p := protocol.Packet{
			Type: got.kind, Namespace: []byte(got.namespace), ID: []byte(got.id), Attachments: got.count, Data: []byte(got.data),
		}
		q, err := protocol.Parse(protocol.Append(nil, p), protocol.Limits{})
		if err != nil || string(q.Data) != got.data || string(q.Event) != got.event || string(q.ID) != got.id || string(q.Namespace) != got.namespace {
			t.Fatalf("%x was read as %+v, which in JSON is %+v, %v", wire, got, q, err)
		}
		again, err := msgpack.Append(nil, p, got.attachments)
		if err != nil {
			t.Fatalf("%x was read as %+v: %v", wire, got, err)
		}
		if second, err := read(t, msgpack.NewDecoder(protocol.Limits{}), again); err != nil || !same(second, got) {
			t.Fatalf("%x was read as\n%+v, that written as %x and read as\n%+v, %v", wire, got, again, second, err)
		}
	})
}

// Whatever payload JSON.parse reads, msgpack carries, but for what neither JSON nor JavaScript tells apart.
func FuzzAppend(f *testing.F) {
	good, _ := vectors(f)
	for _, v := range good {
		f.Add([]byte(v.JSON), len(v.Attachments))
	}
	f.Add([]byte(` { "a" : [ 1e400 , -0.0, "\ud800\"" ] } `), 1)
	f.Fuzz(func(t *testing.T, data []byte, attachments int) {
		attachments = max(0, min(attachments, protocol.DefaultMaxAttachments))
		p := protocol.Packet{Type: binary(protocol.Ack, attachments), ID: []byte("1"), Attachments: attachments, Data: data}
		files := make([][]byte, attachments)
		for i := range files {
			files[i] = bytes.Repeat([]byte{byte(i)}, i)
		}
		before := bytes.Clone(data)
		wire, err := msgpack.Append(nil, p, files)
		if !bytes.Equal(data, before) {
			t.Fatalf("writing changed the payload: %q, was %q", data, before)
		}
		if valid := len(data) == 0 || protocol.Valid(data, 10_000) == nil; valid != (err == nil) {
			t.Fatalf("%q: %v", data, err)
		}
		if _, parseErr := protocol.Parse(protocol.Append(nil, p), protocol.Limits{}); err != nil || parseErr != nil {
			return
		}
		got, err := read(t, msgpack.NewDecoder(protocol.Limits{MaxAttachments: 1000}), wire)
		if err != nil {
			t.Fatalf("%q was written as %x: %v", data, wire, err)
		}
		if attachments > 0 { // those that no placeholder names are not there, and the others may be twice
			return
		}
		if want, seen := values(t, data), values(t, []byte(got.data)); !reflect.DeepEqual(want, seen) {
			t.Fatalf("%q was written as %x and read as %q", data, wire, got.data)
		}
	})
}

// values is what JSON stands for; a number that is too large for a float is null.
func values(tb testing.TB, data []byte) (v any) {
	tb.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		tb.Fatalf("%q: %v", data, err)
	}
	return numbers(v)
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil
		}
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}
