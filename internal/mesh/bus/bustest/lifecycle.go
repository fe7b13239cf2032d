package bustest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func endOfRun(t contract) {
	stop := answer(t, t.B, "ending", "")
	if _, err := t.A.Request(within(t, patience), "ending", nil); err != nil {
		t.Fatalf("request: %v", err)
	}
	stop()
	eventually(t, "nobody subscribes any more", func() bool {
		_, err := t.A.Request(within(t, 100*time.Millisecond), "ending", nil)
		return errors.Is(err, bus.ErrNoResponders)
	})

	l := listen(t, t.B, bus.Data, "ended")
	l.stop()
	if err := l.Subscribe("ended.too", "", l.take); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("subscribe after the end: got error %v, want %v", err, bus.ErrClosed)
	}
	check(t, "send", t.A.Send("ended", "", nil))
	settle(t, t.Pair)
	if n := l.count(); n != 0 {
		t.Errorf("got %d messages after the end of Run", n)
	}
}

func closing(t contract) {
	r, idle := t.A.NewReceiver(bus.Control, 1), t.A.NewReceiver(bus.Data, 1)
	asked := make(chan struct{}, 1)
	check(t, "subscribe", r.Subscribe("closing", "", func(bus.Msg) { asked <- struct{}{} }))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }() // taken below
	waiting := make(chan error, 1)
	go func() { // taken below
		_, err := t.A.Request(within(t, patience), "closing", nil)
		waiting <- err
	}()
	take(t, asked)
	t.Close()
	t.Close()
	_, requested := t.A.Request(within(t, patience), "closing", nil)
	for name, err := range map[string]error{
		"Run":              take(t, ended),
		"a request before": take(t, waiting),
		"Publish":          t.A.Publish("closing", nil),
		"Send":             t.A.Send("closing", "reply", nil),
		"Respond":          t.A.Respond(bus.Msg{Reply: "closing"}, nil),
		"Request":          requested,
		"Probe":            t.A.Probe(within(t, patience)),
		"Subscribe":        r.Subscribe("closing", "", func(bus.Msg) {}),
		"Subscribe, idle":  idle.Subscribe("closing", "", func(bus.Msg) {}),
		"Run, idle":        idle.Run(t.Context()),
	} {
		if !errors.Is(err, bus.ErrClosed) {
			t.Errorf("%s: got error %v, want %v", name, err, bus.ErrClosed)
		}
	}
	t.A.ForceReconnect()
}

func outage(t contract) {
	changes := make(chan bool, 16)
	stop := t.A.Watch(func(connected bool) { changes <- connected })
	defer stop()
	answer(t, t.B, "after.all", "")
	if !t.A.Connected() {
		t.Fatal("not connected at the beginning")
	}
	if t.Stop == nil {
		checkNoChange(t, changes)
		return
	}
	t.Stop()
	if take(t, changes) || t.A.Connected() {
		t.Error("still connected without a server")
	}
	eventually(t, "B notices", func() bool { return !t.B.Connected() })
	for name, try := range map[string]func() error{
		"Publish": func() error { return t.A.Publish("elsewhere", nil) },
		"Send":    func() error { return t.A.Send("elsewhere", "reply", nil) },
		"Probe":   func() error { return t.A.Probe(within(t, patience)) },
	} { // each connection notices on its own
		eventually(t, name+" is refused", func() bool { return errors.Is(try(), bus.ErrDisconnected) })
	}
	t.Start()
	if !take(t, changes) || !t.A.Connected() {
		t.Error("not connected again")
	}
	eventually(t, "B comes back", t.B.Connected)
	settle(t, t.Pair)
	_, err := t.A.Request(within(t, patience), "after.all", nil)
	check(t, "request", err)

	stop()
	t.A.ForceReconnect()
	eventually(t, "A comes back", t.A.Connected)
	checkNoChange(t, changes)
}

func checkNoChange(tb testing.TB, changes <-chan bool) {
	tb.Helper()
	select {
	case c := <-changes:
		tb.Errorf("told that connected = %v", c)
	default:
	}
}

func forcedReconnect(t contract) {
	l := listen(t, t.A, bus.Data, "deaf.no.more")
	changes := make(chan bool, 16)
	defer t.A.Watch(func(connected bool) { changes <- connected })()
	t.A.ForceReconnect()
	if t.Stop != nil && take(t, changes) {
		t.Error("told that it was connected first")
	}
	eventually(t, "received after a forced reconnect", func() bool {
		return t.A.Probe(within(t, patience/20)) == nil && t.B.Send("deaf.no.more", "", nil) == nil && l.count() > 0
	})
}

// churn has receivers come and go while others send and ask; the race detector and the end of it are the test.
func churn(t contract) {
	const rounds = 10
	var busy sync.WaitGroup
	for worker := range 3 {
		at, from := []bus.Bus{t.A, t.B}[worker%2], []bus.Bus{t.B, t.A}[worker%2]
		subject := fmt.Sprint("churn.", worker)
		busy.Go(func() {
			for range rounds {
				l := listen(t, at, bus.Data, subject, "churn.all")
				for range 20 {
					if err := errors.Join(at.Send(subject, subject, []byte("x")), from.Publish("churn.all", nil)); err != nil {
						t.Errorf("worker %d: %v", worker, err)
					}
				}
				l.waitFor(t, 40)
				l.stop()
			}
		})
	}
	busy.Wait()
}
