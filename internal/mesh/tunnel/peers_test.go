package tunnel

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// A peer that is lost ends its streams, at once and all of them.
func TestPeerLost(t *testing.T) {
	a, b := newPair(t, Config{})
	ours, _ := open(t, a, b, "")
	theirs, _ := open(t, b, a, "")
	a.mux.Drop(b.self.Instance)
	get(t, ours.Done())
	if !errors.Is(ours.Err(), ErrPeerLost) {
		t.Errorf("got %v", ours.Err())
	}
	get(t, theirs.Done()) // b hears of it, should it be alive
	if !errors.Is(theirs.Err(), ErrReset) {
		t.Errorf("got %v", theirs.Err())
	}
	again, end := open(t, a, b, "")
	write(t, again, "new")
	wantRead(t, end, "new")
}

// A link that breaks ends the streams at both ends, also where nothing is sent any more.
func TestLinkBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPair(t, Config{})
		ours, theirs := open(t, a, b, "")
		l := a.links.Link(b.self)
		if _, err := l.Append(&wire.Record{Kind: wire.KindStreamData}); err != nil { // without a number: b refuses the link
			t.Fatal(err)
		}
		l.Flush()
		get(t, ours.Done())
		get(t, theirs.Done())
		for _, s := range []*Stream{ours, theirs} {
			if err := s.Err(); !errors.Is(err, ErrPeerLost) {
				t.Errorf("got %v, want ErrPeerLost", err)
			}
		}
		if n := a.mux.cfg.Metrics.Lost.Load(); n != 1 {
			t.Errorf("%d counted as lost, want 1", n)
		}
		again, end := open(t, a, b, "")
		write(t, again, "new")
		wantRead(t, end, "new")
	})
}

// Whoever was given up for dead, wrongly, hears of it when it is found alive.
func TestUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPair(t, Config{})
		ours, theirs := open(t, a, b, "")
		a.mux.Up(b.self)
		a.links.Drop(b.self.Instance)
		a.mux.Drop(b.self.Instance)
		get(t, ours.Done())
		synctest.Wait()
		if err := theirs.Err(); err != nil {
			t.Fatalf("got %v before it could know", err)
		}
		a.mux.Up(b.self)
		get(t, theirs.Done())
		if err := theirs.Err(); !errors.Is(err, ErrPeerLost) {
			t.Errorf("got %v, want ErrPeerLost", err)
		}
	})
}

// The same, when something was still to be sent to it in between.
func TestUpAgainAfterALateLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPair(t, Config{})
		_, theirs := open(t, a, b, "")
		a.links.Drop(b.self.Instance)
		a.mux.Drop(b.self.Instance)
		synctest.Wait()
		a.mux.mu.Lock()
		a.mux.linkLocked(b.self) // of a request that looked its owner up before
		a.mux.mu.Unlock()
		a.links.Drop(b.self.Instance) // nobody listens
		synctest.Wait()
		a.mux.Up(b.self)
		get(t, theirs.Done())
		if err := theirs.Err(); !errors.Is(err, ErrPeerLost) {
			t.Errorf("got %v, want ErrPeerLost", err)
		}
	})
}

// Bytes for a stream that is not there are answered once, anything else not at all: no two muxes go on answering each other.
func TestUnknownStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPair(t, Config{})
		open(t, a, b, "")
		l := a.links.Link(b.self)
		resets := a.count(wire.KindStreamReset)
		for _, r := range []*wire.Record{
			{Kind: wire.KindStreamData, Body: []byte("\x10late")},
			{Kind: wire.KindStreamData, Body: []byte("\x10later")},
			endRecord(key{number: 8}), creditRecord(key{number: 8}, 5), resetRecord(key{number: 8}, "over"), closeRecord(key{number: 8}),
		} {
			if _, err := l.Append(r); err != nil {
				t.Fatal(err)
			}
		}
		l.Flush()
		synctest.Wait()
		if got := a.count(wire.KindStreamReset) - resets; got != 1 {
			t.Errorf("%d resets, want 1", got)
		}
		if err := l.Broken(); err != nil {
			t.Error(err)
		}
	})
}

// What no tunnel sends breaks the link.
func TestMalformed(t *testing.T) {
	a, b := newPair(t, Config{})
	open(t, a, b, "")
	for name, r := range map[string]*wire.Record{
		"nothing":               {Kind: wire.KindStreamData},
		"half a number":         {Kind: wire.KindStreamData, Body: []byte{0x80}},
		"number 0":              {Kind: wire.KindStreamData, Body: []byte{0, 'x'}},
		"opened by the other":   {Kind: wire.KindStreamOpen, Body: []byte{5}},
		"opened twice":          {Kind: wire.KindStreamOpen, Body: []byte{2}},
		"credit of nothing":     {Kind: wire.KindStreamCredit, Body: []byte{2}},
		"credit of 0":           {Kind: wire.KindStreamCredit, Body: []byte{2, 0}},
		"bytes behind a credit": {Kind: wire.KindStreamCredit, Body: []byte{2, 1, 1}},
		"another kind":          {Kind: wire.KindHello, Body: []byte{2}},
	} {
		done := make(chan error)
		b.links.Do(func() { done <- b.mux.Record(a.self, r) })
		if err := get(t, done); !errors.Is(err, errMalformed) {
			t.Errorf("%s: got %v, want errMalformed", name, err)
		}
	}
}

// A peer that refuses every link is not tried for ever.
func TestPeerWithoutStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPair(t, Config{})
		b.refuse.Store(true)
		s, err := a.mux.Open(t.Context(), b.self, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		get(t, s.Done())
		<-time.After(time.Minute)
		if n := b.count(wire.KindStreamOpen) + b.count(wire.KindStreamReset); n != 2+maxRefusals-1 {
			t.Errorf("tried %d times, want %d", n, 2+maxRefusals-1)
		}
	})
}
