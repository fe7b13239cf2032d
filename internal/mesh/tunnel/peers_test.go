package tunnel

import (
	"errors"
	"testing"
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
