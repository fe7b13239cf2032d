package socketio

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestConfirmed(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	s.OnError(func(error) {})
	emit := func(n *Namespace) error { return n.Emit("e", 1) }
	eventually(t, "rooms is there", func() bool { return s.Confirmed(t.Context(), "a b", emit) == nil })
	if got := len(s.namespaces); got != 0 {
		t.Errorf("%d namespaces are kept, want none", got)
	}
	if got := unconfirmedIn(s, "/a b"); got != 0 {
		t.Errorf("%d operations are unconfirmed behind it", got)
	}
	if err := s.Confirmed(t.Context(), "/", func(*Namespace) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Errorf("got %v, want what f returns", err)
	}
	soon, cancel := context.WithTimeoutCause(t.Context(), briefly, ErrTimeout)
	defer cancel()
	r.lock(func() { r.hold = true })
	if err := s.Confirmed(soon, "/a b", emit); !errors.Is(err, ErrTimeout) {
		t.Errorf("not confirmed: got %v, want ErrTimeout", err)
	}
	r.release()
	eventually(t, "nothing waits from before", func() bool { return unconfirmedIn(s, "/a b") == 0 })
	losing(r)
	lost := make(chan error, 1)
	go func() { lost <- s.Confirmed(t.Context(), "/a b", emit) }() // received below
	eventually(t, "the operation is on its way", func() bool { return unconfirmedIn(s, "/a b") > 0 })
	r.breakLink(s)
	if err := <-lost; !errors.Is(err, ErrLost) {
		t.Errorf("lost: got %v, want ErrLost", err)
	}
}

// What f does waits as long as the context says, not as long as the Server is configured to.
func TestConfirmedWithoutRooms(t *testing.T) {
	r := newRing(t)
	s, _ := r.serverFor(func(c *Config) { c.EmitTimeout = time.Hour })
	for name, f := range map[string]func(*Namespace) error{
		"Emit":           func(n *Namespace) error { return n.To("r").Emit("e") },
		"SocketsJoin":    func(n *Namespace) error { return n.SocketsJoin("r") },
		"ServerSideEmit": func(n *Namespace) error { return n.ServerSideEmit("e") },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), briefly)
		if err := s.Confirmed(ctx, "/", f); !errors.Is(err, ErrNoRooms) {
			t.Errorf("%s: got %v, want ErrNoRooms", name, err)
		}
		cancel()
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Confirmed(t.Context(), "/", func(*Namespace) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
}

func unconfirmedIn(s *Server, namespace string) int {
	p := &s.out.parts[newNamespace(s, namespace).partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sizes.len()
}

func TestParseArgs(t *testing.T) {
	binary := []byte{1, 2}
	a, err := ParseArgs([]byte(` [ {"z":1,"a":[{"_placeholder":true,"num":0}]}, 1e400 ,null]`), [][]byte{binary})
	if err != nil || a.Len() != 3 || !bytes.Equal(a.Attachments()[0], binary) {
		t.Fatalf("got %d arguments, %v", a.Len(), err)
	}
	sent, err := (&encoder{maxPacket: 1000}).event(nil, "e", a.Values())
	if err != nil {
		t.Fatal(err)
	}
	p, err := wire.ParsePacket(sent, nil)
	if want := `["e",{"z":1,"a":[{"_placeholder":true,"num":0}]},1e400,null]`; err != nil || string(p.JSON) != want || len(p.Attachments) != 1 {
		t.Errorf("got %s with %d attachments, %v, want %s", p.JSON, len(p.Attachments), err, want)
	}
	if a, err := ParseArgs([]byte(" [ ]"), nil); err != nil || a.Len() != 0 {
		t.Errorf("none: got %d, %v", a.Len(), err)
	}
	for _, bad := range []string{"", "{}", "null", "[1", "[1]2", "[\"\xff\"]"} {
		if _, err := ParseArgs([]byte(bad), nil); !errors.Is(err, errArgs) {
			t.Errorf("%q: got %v, want an error", bad, err)
		}
	}
}
