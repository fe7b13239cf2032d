package msgpack_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/pkg/protocol/msgpack"
)

// vector is one that testdata/vectors.mjs made with the npm package.
type vector struct {
	Name        string
	Wire        string
	Type        protocol.Type
	Namespace   string
	ID          string
	JSON        string
	Attachments []string
	Canonical   bool
	Error       string
}

func vectors(tb testing.TB) (good, bad []vector) {
	tb.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(raw, &all); err != nil {
		tb.Fatal(err)
	}
	for _, v := range all {
		if v.Error != "" {
			bad = append(bad, v)
		} else {
			good = append(good, v)
		}
	}
	if len(good) < 80 || len(bad) < 30 {
		tb.Fatalf("%d good vectors and %d bad ones", len(good), len(bad))
	}
	return good, bad
}

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func (v vector) wire(tb testing.TB) []byte { tb.Helper(); return unhex(tb, v.Wire) }

func (v vector) attachments(tb testing.TB) (attachments [][]byte) {
	tb.Helper()
	for _, a := range v.Attachments {
		attachments = append(attachments, unhex(tb, a))
	}
	return attachments
}

// packet is what has to come of a packet.
type packet struct {
	kind                       protocol.Type
	namespace, id, data, event string
	count                      int
	attachments                [][]byte
}

// read decodes a message, and fails unless the packet keeps its promises.
func read(tb testing.TB, d *msgpack.Decoder, wire []byte) (packet, error) {
	tb.Helper()
	p, attachments, complete, err := d.Binary(wire)
	if err != nil {
		if !errors.Is(err, protocol.ErrMalformed) || complete || attachments != nil || !reflect.DeepEqual(p, protocol.Packet{}) {
			tb.Fatalf("%x: got %v, %v and the error %v", wire, p, complete, err)
		}
		return packet{}, err
	}
	if !complete || p.Attachments != len(attachments) || p.Type.Binary() != (len(attachments) > 0) {
		tb.Fatalf("%x: complete %v, %s with %d of %d attachments", wire, complete, p.Type, len(attachments), p.Attachments)
	}
	return packet{p.Type, string(p.Namespace), string(p.ID), string(p.Data), string(p.Event), p.Attachments, attachments}, nil
}

func binary(t protocol.Type, attachments int) protocol.Type {
	if attachments > 0 {
		t += protocol.BinaryEvent - protocol.Event
	}
	return t
}

// What the npm package writes is read, and cut short anywhere is not.
func TestVectors(t *testing.T) {
	good, _ := vectors(t)
	for _, v := range good {
		t.Run(v.Name, func(t *testing.T) {
			wire := v.wire(t)
			want := packet{
				kind: binary(v.Type, len(v.Attachments)), namespace: v.Namespace, id: v.ID, data: v.JSON,
				count: len(v.Attachments), attachments: v.attachments(t),
			}
			if v.Type == protocol.Event {
				want.event = string(protocol.Elements(nil, []byte(v.JSON))[0])
			}
			d := msgpack.NewDecoder(protocol.Limits{})
			if got, err := read(t, d, wire); err != nil || !same(got, want) { // PAR-029, PAR-027
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
			for i := range wire {
				if got, err := read(t, d, wire[:i]); err == nil {
					t.Fatalf("the first %d of %d bytes were read as %+v", i, len(wire), got)
				}
			}
		})
	}
}

// same compares packets; binary data of no bytes is the same however it is held.
func same(a, b packet) bool {
	if len(a.attachments) != len(b.attachments) {
		return false
	}
	for i := range a.attachments {
		if string(a.attachments[i]) != string(b.attachments[i]) {
			return false
		}
	}
	a.attachments, b.attachments = nil, nil
	return reflect.DeepEqual(a, b)
}

// What is written is what the npm package writes, where it writes the same, and is always read as what it was.
func TestAppendVectors(t *testing.T) {
	good, _ := vectors(t)
	for _, v := range good {
		t.Run(v.Name, func(t *testing.T) {
			attachments := v.attachments(t)
			p := protocol.Packet{
				Type: binary(v.Type, len(attachments)), Namespace: []byte(v.Namespace), ID: []byte(v.ID),
				Attachments: len(attachments), Data: []byte(v.JSON),
			}
			wire, err := msgpack.Append([]byte("before"), p, attachments)
			if err != nil || string(wire[:6]) != "before" {
				t.Fatalf("got %q, %v", wire, err)
			}
			wire = wire[6:]
			if got := hex.EncodeToString(wire); v.Canonical && got != v.Wire {
				t.Errorf("got %s\nwant %s", got, v.Wire)
			}
			got, err := read(t, msgpack.NewDecoder(protocol.Limits{}), wire)
			if err != nil || got.kind != p.Type || got.namespace != v.Namespace || got.id != v.ID || got.data != v.JSON {
				t.Errorf("it is read as %+v, %v, want %s", got, err, v.JSON)
			}
		})
	}
}

// What the npm package refuses is refused.
func TestRefusedVectors(t *testing.T) {
	_, bad := vectors(t)
	for _, v := range bad {
		t.Run(v.Name, func(t *testing.T) {
			if got, err := read(t, msgpack.NewDecoder(protocol.Limits{}), v.wire(t)); err == nil { // PAR-030
				t.Errorf("got %+v, want an error like %q", got, v.Error)
			}
		})
	}
}
