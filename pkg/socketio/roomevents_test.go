package socketio

import (
	"errors"
	"fmt"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestWatchIsSaidToEveryOwner(t *testing.T) {
	r := newRing(t)
	s, failures := r.serverFor()
	events := make(chan string, 16)
	off := s.OnJoin(func(room, id string) { events <- "join " + room + " " + id })
	s.OnLeave(func(room, id string) { events <- "leave " + room + " " + id })
	s.OnCreateRoom(func(room string) { events <- "create " + room; panic("stops nothing") })
	s.OnDeleteRoom(func(room string) { events <- "delete " + room })
	_ = s.OnConnection(nothing)
	run(t, s)
	watched := func() (yes bool) { r.lock(func() { yes = r.watched["/"] }); return yes }
	if watched() {
		t.Error("watched by nobody")
	}
	r.startRooms()
	eventually(t, "the watch", watched)
	tell := func(threes ...string) {
		l := r.toApp(s)
		if _, err := l.Append(&wire.Record{Kind: wire.KindRoomEvents, Namespace: []byte("/"), Body: wire.AppendStrings(nil, threes)}); err != nil {
			t.Error(err)
		}
		l.Flush()
	}
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if got := receive(t, w, events); got != w {
				t.Errorf("got %s, want %s", got, w)
			}
		}
	}
	tell("c", "a", "1", "j", "a", "2", "l", "a", "1", "d", "a", "2")
	expect("create a", "join a 1", "join a 2", "leave a 1", "leave a 2", "delete a") // ADP-003
	var panicked *PanicError
	if err := receive(t, "the panic", failures); !errors.As(err, &panicked) {
		t.Errorf("got %v", err)
	}
	tell("!", "", "")
	if err := receive(t, "an error", failures); !errors.Is(err, ErrRoomEvents) {
		t.Errorf("got %v", err)
	}
	if err := flushAll(t, s); err != nil { // the watch is confirmed
		t.Error(err)
	}
	r.stopRooms()
	if err := receive(t, "an error", failures); !errors.Is(err, ErrRoomEvents) { // nobody tells any more
		t.Errorf("got %v", err)
	}
	r.lock(func() { r.watched["/"] = false })
	r.startRooms()
	eventually(t, "the watch, again", watched)
	off()
	tell("j", "b", "1", "l", "b", "1")
	expect("leave b 1")
	if err := flushAll(t, s); err != nil {
		t.Error(err)
	}
	if !watched() {
		t.Error("the watch ended with the first listener")
	}
}

func TestWatchEnds(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	_ = s.OnConnection(nothing)
	run(t, s)
	for round := range 3 {
		offs := []func(){s.Of("/x").OnJoin(func(string, string) {}), s.Of("/x").OnDeleteRoom(func(string) {})}
		for i, off := range append(offs, offs[0]) { // to end one twice does nothing
			if err := s.Of("/x").Emit("behind"); err != nil {
				t.Error(err)
			}
			if err := flushAll(t, s); err != nil {
				t.Error(err)
			}
			r.lock(func() {
				if want := i < 2; r.watched["/x"] != want {
					t.Errorf("round %d, %d: got %v, want %v", round, i, r.watched["/x"], want)
				}
			})
			off()
		}
	}
	p := &s.out.parts[s.Of("/x").partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.watches) != 0 || p.owed != 0 {
		t.Errorf("got %d watches, %d owed", len(p.watches), p.owed)
	}
}

func TestUnreadableRoomEvents(t *testing.T) {
	r := newRing(t)
	s, _ := r.serverFor()
	for i, body := range [][]byte{{0xff}, wire.AppendStrings(nil, []string{"c", "a"})} {
		if err := s.roomEvents(&wire.Record{Body: body}); err == nil {
			t.Errorf("%d: no error", i)
		}
	}
}

func TestSeries(t *testing.T) {
	var got []int
	drops := 0
	hold, done := make(chan struct{}), make(chan struct{})
	q := &series[int]{workers: newWorkers(), most: 10, dropped: func() { drops++ }, handle: func(n int) {
		if n == 0 {
			close(done)
			return
		}
		<-hold
		got = append(got, n)
	}}
	q.put(99, 99) // larger than the bound, and alone
	eventually(t, "the first is taken", func() bool { q.mu.Lock(); defer q.mu.Unlock(); return len(q.queue) == 0 })
	for n := range 4 {
		q.put(n+1, 4) // the third finds no room, nor the fourth
	}
	q.put(5, 2)
	q.put(0, 0)
	q.put(6, 1)
	close(hold)
	receive(t, "the last", done)
	q.workers.close()
	if fmt.Sprint(got) != "[99 1 2 5]" || drops != 2 {
		t.Errorf("got %v, %d drops", got, drops)
	}
}
