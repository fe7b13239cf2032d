package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// TestStrays: what an instance sent itself, what is of another namespace, and what nobody understands is heard by no handler.
func TestStrays(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 64)
	instances := 0
	memory := bus.NewMemory()
	t.Cleanup(memory.Close)
	over := &listed{Bus: memory}
	playWith(t, settings{connect: func(string) bus.Bus { return over }}, func(io *socketio.Server) {
		me := instances
		instances++
		for _, ns := range []string{"/", "/a", "/b"} {
			_ = io.Of(ns).OnConnection(func(*socketio.Socket) {})
			io.Of(ns).OnServerSide("e", func(_ context.Context, e *socketio.ServerEvent) error {
				heard <- fmt.Sprint(me, " in ", ns, " ", string(e.Args.Raw(0)))
				return e.Ack()
			})
		}
	}, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		first := instances - len(c.apps)
		for _, io := range c.apps {
			for _, ns := range []string{"/", "/a"} {
				eventually(t, "the instances know each other", func() bool {
					replies, err := io.Of(ns).ServerSideEmitWithAck(t.Context(), "e", 0)
					return err == nil && len(replies) == len(c.apps)-1
				})
			}
		}
		for _, subject := range over.take() {
			for _, junk := range []string{"", "junk", "\xff\xff\xff\xff\xff\xff\xff\xff", "\x00\x00\x00\x00", `{"type":99}`, strings.Repeat("\x01", 5000)} {
				if err := c.bus.Publish(subject, []byte(junk)); err != nil {
					t.Error(err)
				}
				if err := c.bus.Send(subject, "", []byte(junk)); err != nil {
					t.Logf("%s: %v", subject, err)
				}
			}
		}
		for len(heard) > 0 {
			<-heard
		}
		var got, want []string
		for i, io := range c.apps {
			for _, ns := range []string{"/a", "/"} {
				replies, err := io.Of(ns).ServerSideEmitWithAck(t.Context(), "e", i)
				if err != nil || len(replies) != len(c.apps)-1 { // CLU-026: what was published disturbs nobody
					t.Errorf("%s: got %d, %v", ns, len(replies), err)
				}
				for j := range c.apps {
					if j != i {
						want = append(want, fmt.Sprint(first+j, " in ", ns, " ", i))
					}
				}
			}
			if err := io.Of("/b").Emit("of /b"); err != nil {
				t.Error(err)
			}
			if err := io.Emit("once", i); err != nil {
				t.Error(err)
			}
			for _, k := range clients { // CLU-026: once, also those of the instance itself, and nothing of /b
				k.expect(fmt.Sprintf(`42["once",%d]`, i))
			}
		}
		for len(heard) > 0 { // all have acknowledged
			got = append(got, <-heard)
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) { // CLU-026
			t.Errorf("got %v, want %v", got, want)
		}
		for _, io := range c.apps {
			if now, err := io.SocketIDs(t.Context()); err != nil || !slices.Equal(now, ids) { // CLU-026: and ends no connection
				t.Errorf("got %v, %v, want %v", now, err, ids)
			}
		}
	})
}

// listed is a bus that knows where its services listen.
type listed struct {
	bus.Bus

	mu       sync.Mutex
	subjects []string // guarded by mu
}

// NewReceiver implements bus.Bus.
func (l *listed) NewReceiver(lane bus.Lane, capacity int) bus.Receiver {
	return listedReceiver{l.Bus.NewReceiver(lane, capacity), l}
}

type listedReceiver struct {
	bus.Receiver
	of *listed
}

// Subscribe implements bus.Receiver.
func (r listedReceiver) Subscribe(subject, queue string, handler func(bus.Msg)) error {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.of.subjects = append(r.of.subjects, strings.ReplaceAll(subject, "*", "edge")) // where a sender is named, one that may be
	return r.Receiver.Subscribe(subject, queue, handler)
}

// take returns them, and forgets them.
func (l *listed) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	subjects := l.subjects
	l.subjects = nil
	return subjects
}
