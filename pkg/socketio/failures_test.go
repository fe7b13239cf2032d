package socketio

import (
	"cmp"
	"context"
	"errors"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// briefly bounds the waits that are to fail.
const briefly = 100 * time.Millisecond

// condition is one way to fail.
type condition struct {
	name    string
	waits   bool                                           // the calls fail late, so they are made at the same time
	answers bool                                           // rooms must answer before they fail
	window  int                                            // of operations; 0: they all fit
	prepare func(t *testing.T, r *ring, x *subject)        // nil: it is the arguments
	want    func(name string, c call) (err error, is bool) // is: the condition concerns the call
}

var errEnough = errors.New("enough")

func conditions() []condition {
	everywhere := func(c call) bool { return c.waits == "" || c.waits == "client" }
	return []condition{
		{name: "after Close", prepare: func(t *testing.T, _ *ring, x *subject) {
			if err := x.s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}, want: func(name string, c call) (error, bool) {
			if c.on == "socket" && c.waits != "edge" && name != "Event.Ack" { // which needs not own the socket
				return ErrMoved, true
			}
			return ErrClosed, true
		}},
		{name: "no rooms service", waits: true, prepare: func(_ *testing.T, r *ring, x *subject) {
			r.stopRooms()
			eventually(r.tb, "nobody owns it", func() bool { return x.s.out.parts[x.ns.partition].ownerNow().Instance.IsZero() })
		}, want: func(_ string, c call) (error, bool) { return ErrNoRooms, c.waits != "local" && c.waits != "edge" }},
		{name: "full window", waits: true, window: 700, prepare: func(t *testing.T, r *ring, x *subject) {
			r.lock(func() { r.hold = true })
			t.Cleanup(r.release) // for the end of the Server
			for _, n := range []*Namespace{x.ns, x.parent.Children()[0]} {
				if err := n.Emit("e", strings.Repeat("x", 600)); err != nil {
					t.Error(err)
				}
			}
			if err := x.s.Emit("e", strings.Repeat("x", 600)); err == nil && x.ns.partition == mesh.Partition("/") {
				t.Error("the window is not full")
			}
		}, want: func(name string, c call) (error, bool) {
			if c.waits == "edges" || name == "Server.Flush" {
				return ErrTimeout, true // what was done before is not confirmed
			}
			return ErrWindowFull, everywhere(c)
		}},
		{name: "the client has left", answers: true, prepare: func(_ *testing.T, r *ring, x *subject) {
			for _, c := range r.all() {
				c.leave("transport close")
			}
			eventually(r.tb, "gone", x.sock.gone.Load)
		}, want: left},
		{name: "no edge", answers: true, prepare: func(t *testing.T, r *ring, x *subject) {
			l, edge := r.toApp(x.s), r.edge.Self().Instance
			if _, err := l.Append(&wire.Record{Kind: wire.KindEdgeEnded, Flags: wire.FlagControl, Body: edge[:]}); err != nil {
				t.Error(err)
			}
			l.Flush()
			r.lock(func() { clear(r.clients) })
			eventually(r.tb, "gone", x.sock.gone.Load)
		}, want: left},
		{name: "nobody answers", waits: true, prepare: func(_ *testing.T, r *ring, _ *subject) {
			deaf := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
			r.presence(deaf)
			r.deafen(deaf)
			r.lock(func() { r.mute, r.edges = true, []string{deaf.Instance.String()} })
		}, want: func(_ string, c call) (error, bool) { return ErrTimeout, c.waits == "client" || c.waits == "edges" }},
		{name: "the context ends", prepare: func(_ *testing.T, r *ring, x *subject) {
			r.lock(func() { r.mute = true })
			ctx, cancel := context.WithCancelCause(x.ctx)
			cancel(errEnough)
			x.ctx = ctx
		}, want: func(_ string, c call) (error, bool) { return errEnough, c.waits != "" && c.waits != "local" }},
		{
			name: "large argument", prepare: func(_ *testing.T, _ *ring, x *subject) { x.arg = strings.Repeat("x", 2000) },
			want: func(name string, c call) (error, bool) {
				return ErrTooLarge, (c.carries == "arg" || c.carries == "name") && name != "Data.Set"
			},
		},
		{
			name: "large data", prepare: func(_ *testing.T, _ *ring, x *subject) { x.arg = strings.Repeat("x", maxData) },
			want: func(name string, _ call) (error, bool) { return ErrTooLarge, name == "Data.Set" },
		},
		{
			name: "large room", prepare: func(_ *testing.T, _ *ring, x *subject) { x.room = strings.Repeat("x", 1<<20) },
			want: func(_ string, c call) (error, bool) { return ErrTooLarge, c.carries == "room" },
		},
		{
			name: "no JSON", prepare: func(_ *testing.T, _ *ring, x *subject) { x.arg = math.NaN() },
			want: func(_ string, c call) (error, bool) { return ErrEncode, c.carries == "arg" || c.carries == "name" },
		},
		{
			name: "reserved name", prepare: func(_ *testing.T, _ *ring, x *subject) { x.name = "connect" },
			want: func(_ string, c call) (error, bool) {
				return &ReservedEventError{Event: "connect"}, c.carries == "name"
			},
		},
		{
			name: "reserved room", prepare: func(_ *testing.T, _ *ring, x *subject) { x.room = wire.UserRoom("u") },
			want: func(name string, _ call) (error, bool) {
				return ErrReservedRoom, name == "Socket.Join" || strings.HasSuffix(name, "amespace.SocketsJoin") ||
					name == "Server.SocketsJoin" || name == "BroadcastOperator.SocketsJoin" || name == "RemoteSocket.Join"
			},
		},
	}
}

// left is what a call on a client returns that is not there any more.
func left(name string, c call) (error, bool) {
	return ErrDisconnected, c.on == "socket" || name == "RemoteEmitter.EmitWithAck"
}

// all returns the clients.
func (r *ring) all() (clients []*client) {
	r.lock(func() {
		for _, c := range r.clients {
			clients = append(clients, c)
		}
	})
	return clients
}

// deafen has requests to an edge be taken and not answered.
func (r *ring) deafen(edge mesh.Address) {
	requests := r.b.NewReceiver(bus.Control, 1024)
	if err := requests.Subscribe(mesh.Subjects{}.RPC(edge), "", func(bus.Msg) {}); err != nil {
		r.tb.Fatal(err)
	}
	background(r.tb, requests.Run)
}

// newSubject returns a Server that runs, with one client that has sent an event.
func newSubject(t *testing.T, cond condition) (*ring, *subject) {
	t.Helper()
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverWith(link.Config{MaxRecord: 1 << 20}, func(c *Config) {
		c.EmitTimeout, c.OperationWindow, c.MaxPacket = briefly, cmp.Or(cond.window, 1<<20), 1000
	})
	sockets, events := make(chan *Socket, 1), make(chan *Event, 1)
	_ = s.OnConnection(func(s *Socket) {
		s.On("e", func(_ context.Context, e *Event) error { events <- e; return nil })
		sockets <- s
	})
	x := &subject{s: s, ns: s.Of("/"), parent: s.OfRegexp(regexp.MustCompile("^/dyn-")), arg: "a", name: "e", room: "r", brief: briefly}
	if cond.answers {
		x.brief = patience
	}
	s.Of("/dyn-1")
	s.OnError(func(error) {})
	run(t, s)
	eventually(t, "the edge is known", func() bool { _, known := s.peers.Peer(r.edge.Self().Instance); return known })
	client := r.join(s, "/")
	client.emit("1", "e")
	x.sock, x.event = receive(t, "the socket", sockets), receive(t, "the event", events)
	x.sockID = x.sock.id
	x.remote = x.sock.remote(0)
	x.server = &ServerEvent{Name: "e", From: s.self.Instance.String(), namespace: x.ns, request: 1}
	eventually(t, "nothing is unconfirmed", func() bool {
		return client.credited() && x.sock.reported.Load() == 2 && !x.sock.dirty.Load() && flushAll(t, s) == nil && unconfirmed(s) == 0
	})
	return r, x
}

// check makes one call and compares.
func (x *subject) check(t *testing.T, name string, c call, want error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(x.ctx, 5*x.brief, ErrTimeout)
	defer cancel()
	y := *x
	y.ctx = ctx
	got := c.f(&y)
	var reserved *ReservedEventError
	if errors.As(want, &reserved) && errors.As(got, &reserved) {
		return
	}
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// Nothing that fails returns success.
func TestNoSuccessForFailure(t *testing.T) {
	all := calls()
	for _, cond := range conditions() {
		t.Run(cond.name, func(t *testing.T) {
			r, x := newSubject(t, cond)
			x.ctx = t.Context()
			cond.prepare(t, r, x)
			n := 0
			var wg sync.WaitGroup
			for name, c := range all {
				want, is := cond.want(name, c)
				switch {
				case !is:
					continue
				case cond.waits:
					wg.Go(func() { x.check(t, name, c, want) })
				default:
					x.check(t, name, c, want)
				}
				n++
			}
			wg.Wait()
			if n == 0 {
				t.Error("it concerns no call")
			}
		})
	}
	t.Run("before Run", func(t *testing.T) {
		r := newRing(t)
		s, err := Connect(bus.NewContext(t.Context(), r.b), "", Config{App: "test", Embedded: true})
		if err != nil {
			t.Fatal(err)
		}
		x := &subject{s: s, ns: s.Of("/x"), parent: s.OfRegexp(regexp.MustCompile("^/dyn-")), ctx: t.Context(), arg: 1, name: "e", room: "r", brief: briefly}
		x.remote = &RemoteSocket{namespace: x.ns, id: "id"}
		x.server = &ServerEvent{From: s.self.Instance.String(), namespace: x.ns, request: 1}
		for name, c := range all {
			if c.on == "server" && !strings.HasPrefix(name, "a socket's") {
				x.check(t, name, c, ErrNotRunning)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Run(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Run: got %v", err)
		}
	})
}
