package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// TestRollingRestart: all instances of an application are replaced, again and again, while clients send numbered events: nobody
// is disconnected, and every event is handled and answered once, in order, with the socket's rooms and data where they were.
func TestRollingRestart(t *testing.T) {
	for name, connect := range buses() {
		t.Run(name, func(t *testing.T) {
			r := &rolling{}
			c := newClusterWith(t, settings{connect: connect(t)}, 3, 2, r.setup)
			r.play(t, c)
		})
	}
}

const (
	rollingClients = 12
	rounds         = 4
	ahead          = 8 // events without an answer
)

type rolling struct {
	failures sync.Map // what handlers found wrong, as text
	handed   atomic.Int64
	ended    atomic.Int64
	lost     atomic.Int64
}

func (r *rolling) fail(err error) {
	if err != nil {
		r.failures.Store(err.Error(), nil)
	}
}

// setup has each event be the successor of the last one that any instance has handled.
func (r *rolling) setup(io *socketio.Server) {
	_ = io.OnConnection(func(s *socketio.Socket) {
		if s.HandedOver() {
			r.handed.Add(1)
			if !slices.Equal(s.Rooms(), []string{s.ID(), "all"}) {
				r.fail(fmt.Errorf("handed over in rooms %q", s.Rooms()))
			}
		} else {
			r.fail(s.Join("all"))
		}
		s.OnDisconnect(func(socketio.Disconnect) { r.ended.Add(1) })
		s.On("n", func(_ context.Context, e *socketio.Event) error {
			var got, want int
			err := e.Bind(&got)
			_, none := s.Data().Get("next", &want)
			r.fail(errors.Join(err, none))
			if got != want {
				r.fail(fmt.Errorf("socket %s: event %d, want %d", s.ID(), got, want))
			}
			r.fail(errors.Join(s.Data().Set("next", got+1), s.Emit("seen", got), e.Ack(got)))
			return nil
		})
	})
}

func (r *rolling) play(t *testing.T, c *cluster) {
	t.Helper()
	var stop atomic.Bool
	var wg sync.WaitGroup
	sent := make([]int, rollingClients)
	defer func() { r.failures.Range(func(text, _ any) bool { t.Error(text); return true }) }()
	for i := range rollingClients {
		k := c.join("/")
		wg.Go(func() {
			var err error
			if sent[i], err = talk(k, &stop); err != nil {
				r.fail(err)
				r.lost.Add(1)
			}
		})
	}
	running := slices.Clone(c.apps)
	for round := range rounds {
		for i := range running {
			if round%2 == 0 { // the new one is there before the old one ends
				fresh := c.start()
				closeNow(t, running[i])
				running[i] = fresh
			} else { // or comes later: the last round keeps sockets waiting for it
				closeNow(t, running[i])
				running[i] = c.start()
			}
		}
		eventually(t, "as many hand-overs as clients in each round", func() bool { // the next one closes while others are under way
			return r.handed.Load() >= int64(rollingClients*(round+1)) || r.lost.Load() > 0
		})
	}
	for _, io := range running {
		closeNow(t, io)
	}
	last := c.start() // everybody has waited for it
	eventually(t, "the last instance has all sockets", func() bool { return len(last.Sockets()) >= rollingClients-int(r.lost.Load()) })
	if n := r.lost.Load(); n > 0 {
		t.Fatalf("%d lost", n)
	}
	stop.Store(true)
	eventually(t, "everything is answered", func() bool {
		n, err := last.In("all").Count(t.Context())
		return n == rollingClients && err == nil
	})
	if err := errors.Join(last.To("all").Emit("end"), last.Flush(t.Context())); err != nil {
		t.Error(err)
	}
	wg.Wait()
	total := 0
	for _, n := range sent {
		total += n
	}
	t.Logf("%d events, %d hand-overs", total, r.handed.Load())
	if n := r.ended.Load(); n > 0 {
		t.Errorf("%d sockets were disconnected", n)
	}
	if n := r.handed.Load(); n < rollingClients*rounds {
		t.Errorf("%d hand-overs, want at least %d", n, rollingClients*rounds)
	}
}

// closeNow closes an instance, which must not take the time it has.
func closeNow(t *testing.T, io *socketio.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := io.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// talk sends events until it is to stop, and returns how many: each must be seen and answered once and in order, until the
// broadcast that ends it all, which comes behind them or, from another handler, between.
func talk(k *client, stop *atomic.Bool) (sent int, err error) {
	seen, answered, ended := 0, 0, false
	late := time.NewTimer(patience)
	defer late.Stop()
	for !ended || answered < sent || seen < sent {
		for !stop.Load() && sent < answered+ahead {
			k.send(fmt.Sprintf(`42%d["n",%d]`, sent, sent))
			sent++
		}
		select {
		case text, ok := <-k.got:
			late.Reset(patience)
			switch {
			case !ok:
				return sent, fmt.Errorf("client %s was closed after %d answers", k.id, answered)
			case text == fmt.Sprintf(`43%d[%d]`, answered, answered):
				answered++
			case text == fmt.Sprintf(`42["seen",%d]`, seen):
				seen++
			case text == `42["end"]`:
				ended = true
			default:
				return sent, fmt.Errorf("client %s got %.80q, has %d answers", k.id, text, answered)
			}
		case <-late.C:
			return sent, fmt.Errorf("client %s hears nothing more, has %d answers of %d", k.id, answered, sent)
		}
	}
	return sent, nil
}
