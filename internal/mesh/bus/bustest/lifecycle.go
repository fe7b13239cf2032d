package bustest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func endOfRun(t *testing.T, p Pair) {
	stop := answer(t, p.B, "ending", "", "")
	if _, err := p.A.Request(within(t, patience), "ending", nil); err != nil {
		t.Fatalf("request: %v", err)
	}
	stop()
	eventually(t, "nobody subscribes any more", func() bool {
		_, err := p.A.Request(within(t, 100*time.Millisecond), "ending", nil)
		return errors.Is(err, bus.ErrNoResponders)
	})

	l := listen(t, p.B, bus.Data, "ended")
	l.stop()
	if err := l.Subscribe("ended.too", "", l.take); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("subscribe after the end: got error %v, want %v", err, bus.ErrClosed)
	}
	check(t, "send", p.A.Send("ended", "", nil))
	settle(t, p)
	if n := l.count(); n != 0 {
		t.Errorf("got %d messages after the end of Run", n)
	}
}

func closing(t *testing.T, p Pair) {
	r, idle := p.A.NewReceiver(bus.Control, 1), p.A.NewReceiver(bus.Data, 1)
	asked := make(chan struct{}, 1)
	check(t, "subscribe", r.Subscribe("closing", "", func(bus.Msg) { asked <- struct{}{} }))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }() // taken below
	waiting := make(chan error, 1)
	go func() { // taken below
		_, err := p.A.Request(within(t, patience), "closing", nil)
		waiting <- err
	}()
	take(t, asked)
	p.Close()
	p.Close()
	_, requested := p.A.Request(within(t, patience), "closing", nil)
	for name, err := range map[string]error{
		"Run":              take(t, ended),
		"a request before": take(t, waiting),
		"Publish":          p.A.Publish("closing", nil),
		"Send":             p.A.Send("closing", "reply", nil),
		"Respond":          p.A.Respond(bus.Msg{Reply: "closing"}, nil),
		"Request":          requested,
		"Probe":            p.A.Probe(within(t, patience)),
		"Subscribe":        r.Subscribe("closing", "", func(bus.Msg) {}),
		"Subscribe, idle":  idle.Subscribe("closing", "", func(bus.Msg) {}),
		"Run, idle":        idle.Run(t.Context()),
	} {
		if !errors.Is(err, bus.ErrClosed) {
			t.Errorf("%s: got error %v, want %v", name, err, bus.ErrClosed)
		}
	}
	p.A.ForceReconnect()
}

func outage(t *testing.T, p Pair) {
	changes := make(chan bool, 16)
	stop := p.A.Watch(func(connected bool) { changes <- connected })
	defer stop()
	answer(t, p.B, "after.all", "", "")
	if !p.A.Connected() {
		t.Fatal("not connected at the beginning")
	}
	if p.Stop == nil {
		checkNoChange(t, changes)
		return
	}
	p.Stop()
	if take(t, changes) || p.A.Connected() {
		t.Error("still connected without a server")
	}
	eventually(t, "B notices", func() bool { return !p.B.Connected() })
	for name, try := range map[string]func() error{
		"Publish": func() error { return p.A.Publish("elsewhere", nil) },
		"Send":    func() error { return p.A.Send("elsewhere", "reply", nil) },
		"Probe":   func() error { return p.A.Probe(within(t, patience)) },
	} { // each connection notices on its own
		eventually(t, name+" is refused", func() bool { return errors.Is(try(), bus.ErrDisconnected) })
	}
	p.Start()
	if !take(t, changes) || !p.A.Connected() {
		t.Error("not connected again")
	}
	eventually(t, "B comes back", p.B.Connected)
	settle(t, p)
	_, err := p.A.Request(within(t, patience), "after.all", nil)
	check(t, "request", err)

	stop()
	p.A.ForceReconnect()
	eventually(t, "A comes back", p.A.Connected)
	checkNoChange(t, changes)
}

func checkNoChange(t *testing.T, changes <-chan bool) {
	t.Helper()
	select {
	case c := <-changes:
		t.Errorf("told that connected = %v", c)
	default:
	}
}

func forcedReconnect(t *testing.T, p Pair) {
	l := listen(t, p.A, bus.Data, "deaf.no.more")
	changes := make(chan bool, 16)
	defer p.A.Watch(func(connected bool) { changes <- connected })()
	p.A.ForceReconnect()
	if p.Stop != nil && take(t, changes) {
		t.Error("told that it was connected first")
	}
	eventually(t, "received after a forced reconnect", func() bool {
		return p.A.Probe(within(t, patience/20)) == nil && p.B.Send("deaf.no.more", "", nil) == nil && l.count() > 0
	})
}

// churn has receivers come and go while others send and ask; the race detector and the end of it are the test.
func churn(t *testing.T, p Pair) {
	const rounds = 10
	var busy sync.WaitGroup
	for worker := range 3 {
		at, from := []bus.Bus{p.A, p.B}[worker%2], []bus.Bus{p.B, p.A}[worker%2]
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
