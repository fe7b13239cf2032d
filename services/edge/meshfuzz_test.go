package edge

import (
	"testing"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/pkg/engine"
)

// FuzzAdopt lets another edge send whatever state of a connection that moves here: it is refused, or its CONNECTs are those of a
// client, and all that it leaves goes with it.
func FuzzAdopt(f *testing.F) {
	add := func(handshake []byte, connects ...*siomeshv1.HeldConnect) {
		b, err := proto.Marshal(&siomeshv1.MovedConnection{Handshake: handshake, Connects: connects})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	handshake, err := proto.Marshal(&siomeshv1.Handshake{Url: "/", Address: "1.2.3.4", Query: map[string]string{"a": "b"}})
	if err != nil {
		f.Fatal(err)
	}
	add(handshake, &siomeshv1.HeldConnect{Namespace: []byte("/"), Auth: []byte(`{"token":"t"}`)}, &siomeshv1.HeldConnect{Namespace: []byte("/b")})
	add([]byte("\xff"), &siomeshv1.HeldConnect{Namespace: []byte("/x"), Auth: []byte("{")}, &siomeshv1.HeldConnect{})
	add(nil)
	f.Add([]byte("\x12\xff\xff\xff\xff\x07"))
	s := newStill(f, Config{MaxNamespaces: 4})
	f.Fuzz(func(t *testing.T, state []byte) {
		s.open(t)
		defer s.leave()
		moved := s.m.MovedHere.Load()
		h, err := s.adopt(s.session, state)
		if err != nil {
			if s.m.MovedHere.Load() != moved {
				t.Error("a connection that was refused is counted")
			}
			return
		}
		c, ok := h.(*conn)
		if !ok {
			t.Fatalf("got a handler of type %T", h)
		}
		for range 2 { // one that asks for a namespace of its own, whatever there is
			if len(c.sockets) > s.cfg.MaxNamespaces {
				t.Fatalf("%d sockets", len(c.sockets))
			}
			sk := &socket{conn: c, namespace: []byte("/"), id: "id"}
			if q, err := authRequest(sk); err == nil && q.Socket != "id" {
				t.Errorf("auth is asked about %q", q.Socket)
			}
			c.Message([]byte("40"), false)
		}
		c.Closed(engine.TransportClose, nil)
		s.guests.mu.Lock()
		defer s.guests.mu.Unlock()
		if len(c.sockets) > 0 || c.place.in != nil {
			t.Errorf("%d sockets are left, a guest %v", len(c.sockets), c.place.in != nil)
		}
	})
}

// heard is a bus that keeps the answer to a request.
type heard struct {
	bus.Bus
	answer []byte
}

func (h *heard) Respond(_ bus.Msg, data []byte) error {
	h.answer = append([]byte{}, data...)
	return nil
}

// FuzzQuery lets apps ask whatever they may about sockets: the answer can be read, and is of the one socket there is or an error.
func FuzzQuery(f *testing.F) {
	add := func(q *siomeshv1.EdgeRequest) {
		b, err := proto.Marshal(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	all := &siomeshv1.SocketsQuery{Joined: true, Data: true, Handshake: true, Connection: true}
	add(&siomeshv1.EdgeRequest{Namespace: "/", Query: &siomeshv1.EdgeRequest_Sockets{Sockets: all}})
	some := &siomeshv1.SocketsQuery{Rooms: [][]byte{[]byte("id"), nil}, Except: [][]byte{[]byte("\xff")}, After: 1 << 63}
	add(&siomeshv1.EdgeRequest{Namespace: "/", Query: &siomeshv1.EdgeRequest_Sockets{Sockets: some}})
	add(&siomeshv1.EdgeRequest{Namespace: "/b"})
	f.Add([]byte("\xff"))
	s := newStill(f, Config{})
	h := &heard{Bus: s.bus}
	s.bus = h
	s.open(f)
	f.Cleanup(s.leave)
	s.socket.data = map[string][]byte{"k": []byte(`"v"`), "bad": []byte("{")}
	f.Fuzz(func(t *testing.T, data []byte) {
		h.answer = nil
		s.request(bus.Msg{Subject: "q", Reply: "r", Data: data})
		var reply siomeshv1.EdgeReply
		if err := proto.Unmarshal(h.answer, &reply); err != nil || h.answer == nil {
			t.Fatalf("answer %q: %v", h.answer, err)
		}
		if n := len(reply.GetSockets()); n > 1 || n == 1 && (reply.GetError() != nil || reply.GetSockets()[0].GetId() != "id") {
			t.Errorf("answer %v", &reply)
		}
	})
}
