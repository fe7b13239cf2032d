package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/natstest"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// TestOrder: what handlers do concurrently reaches every client in the order in which they did it, all of it, once, and nobody
// else. Two kinds of programs have an order: an instance whose handlers take turns, and each handler for itself. Both know who
// is in their rooms, and so what each client must hear.
func TestOrder(t *testing.T) {
	for name, connect := range buses() {
		t.Run(name, func(t *testing.T) {
			p := &plot{seed: rand.Uint64(), index: map[string]int{}} //nolint:gosec // any will do
			t.Logf("seed %d", p.seed)
			c := newClusterWith(t, settings{connect: connect(t)}, 3, 2, p.setup)
			for i := range clientsInOrder {
				k := c.join("/")
				p.clients, p.index[k.id] = append(p.clients, k), i
			}
			// An instance may have come behind the first clients: then others take their places.
			next := 0
			eventually(t, "each instance has sockets", func() bool {
				if !slices.ContainsFunc(c.apps, func(io *socketio.Server) bool { return len(io.Sockets()) == 0 }) {
					return true
				}
				p.replace(next%clientsInOrder, c.join("/"))
				next++
				return false
			})
			p.play(t, c)
		})
	}
}

// buses are what the services of a mesh may talk over.
func buses() map[string]func(t *testing.T) func(who string) bus.Bus {
	return map[string]func(t *testing.T) func(string) bus.Bus{
		"in memory": func(t *testing.T) func(string) bus.Bus {
			b := bus.NewMemory()
			t.Cleanup(b.Close)
			return func(string) bus.Bus { return b }
		},
		"over NATS": func(t *testing.T) func(string) bus.Bus {
			url := natstest.Run(t)
			return func(who string) bus.Bus {
				b, err := bus.Dial(t.Context(), url, bus.NATSOptions{Name: who})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(b.Close)
				return b
			}
		},
	}
}

const (
	clientsInOrder  = 12 // 4 on each edge
	eventsOfClient  = 170
	unanswered      = 4 // events at most
	stepsOfEvent    = 5 // beside the acknowledgement
	leastOperations = 10_000
)

// plot is one run.
type plot struct {
	seed      uint64
	clients   []*client
	index     map[string]int // of a client, by socket id; complete before the first event
	instances []*program     // which the handlers of an instance share

	mu      sync.Mutex
	own     []*program // guarded by mu; of the handlers
	failed  error      // guarded by mu
	handled int        // guarded by mu
}

// replace has another client take a place, before the first event.
func (p *plot) replace(i int, k *client) {
	_ = p.clients[i].conn.Close()
	delete(p.index, p.clients[i].id)
	p.clients[i], p.index[k.id] = k, i
}

// program is a sequence of operations, and who must hear of each. Its rooms are touched by nobody else.
type program struct {
	name string
	io   *socketio.Server
	turn sync.Mutex // what shares the program takes turns

	n       int
	members map[string]map[int]bool // clients, by room
	want    [clientsInOrder][]int   // what each client must hear
}

func newProgram(name string, io *socketio.Server) *program {
	return &program{name: name, io: io, members: map[string]map[int]bool{}}
}

// setup registers the handlers of an instance.
func (p *plot) setup(io *socketio.Server) {
	shared := newProgram(fmt.Sprint("instance", len(p.instances)), io)
	p.instances = append(p.instances, shared)
	_ = io.OnConnection(func(s *socketio.Socket) {
		var own *program // its events are handled one at a time
		var dice *rand.Rand
		s.On("go", func(_ context.Context, e *socketio.Event) error {
			if own == nil {
				i := p.index[s.ID()]
				own, dice = newProgram(fmt.Sprint("handler", i), io), rand.New(rand.NewPCG(p.seed, uint64(i))) //nolint:gosec // to be repeated
				p.mu.Lock()
				p.own = append(p.own, own)
				p.mu.Unlock()
			}
			acting := []*program{own, shared}[dice.IntN(2)]
			acting.turn.Lock()
			defer acting.turn.Unlock()
			err := acting.answer(p, e) //nolint:contextcheck // operations take none
			for range stepsOfEvent {
				err = errors.Join(err, acting.step(p, s, dice)) //nolint:contextcheck // see above
			}
			p.fail(err)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.handled++
			return nil
		})
	})
}

// fail remembers what went wrong.
func (p *plot) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = errors.Join(p.failed, err)
}

// answer acknowledges the event, as the next of the operations.
func (g *program) answer(p *plot, e *socketio.Event) error {
	return e.Ack(g.name, g.next([]int{p.index[e.Socket().ID()]}))
}

// next numbers an operation that these clients must hear of.
func (g *program) next(hearers []int) int {
	g.n++
	for _, i := range hearers {
		g.want[i] = append(g.want[i], g.n)
	}
	return g.n
}

// step does one of the things that can be done to sockets.
func (g *program) step(p *plot, s *socketio.Socket, dice *rand.Rand) error {
	me, other := p.index[s.ID()], dice.IntN(clientsInOrder)
	room, elsewhere := fmt.Sprint(g.name, " a", dice.IntN(3)), fmt.Sprint(g.name, " b", dice.IntN(3))
	emitter := func(to interface{ Emit(string, ...any) error }, hearers []int) error {
		args := []any{g.name, g.next(hearers)}
		if dice.IntN(4) == 0 {
			args = append(args, []byte(fmt.Sprint(g.name, args[1])))
		}
		return to.Emit("o", args...)
	}
	switch dice.IntN(10) {
	case 0:
		return emitter(s, []int{me})
	case 1:
		return emitter(g.io.To(p.clients[other].id), []int{other})
	case 2:
		return emitter(g.io, g.everybody(nil))
	case 3:
		return emitter(s.Except(room), g.everybody(func(i int) bool { return i == me || g.members[room][i] }))
	case 4:
		return emitter(g.io.To(room, elsewhere), g.everybody(func(i int) bool { return !g.members[room][i] && !g.members[elsewhere][i] }))
	case 5: // the joiner is always among those who hear
		g.put(room, me)
		return errors.Join(s.Join(room), emitter(g.io.To(room), g.in(room)))
	case 6: // whoever has the socket
		g.put(room, other)
		return errors.Join(g.io.In(p.clients[other].id).SocketsJoin(room), emitter(g.io.To(room), g.in(room)))
	case 7: // who leaves is not
		delete(g.members[room], me)
		return errors.Join(s.Leave(room), emitter(g.io.To(room), g.in(room)))
	case 8:
		for _, i := range g.in(room) {
			g.put(elsewhere, i)
		}
		return errors.Join(g.io.In(room).SocketsJoin(elsewhere), emitter(g.io.In(elsewhere), g.in(elsewhere)))
	default:
		for _, i := range g.in(room) {
			delete(g.members[elsewhere], i)
		}
		return errors.Join(g.io.In(room).SocketsLeave(elsewhere), emitter(g.io.In(elsewhere), g.in(elsewhere)))
	}
}

func (g *program) put(room string, i int) {
	if g.members[room] == nil {
		g.members[room] = map[int]bool{}
	}
	g.members[room][i] = true
}

func (g *program) in(room string) []int {
	return g.everybody(func(i int) bool { return !g.members[room][i] })
}

// everybody is all clients but those.
func (g *program) everybody(but func(i int) bool) (clients []int) {
	for i := range clientsInOrder {
		if but == nil || !but(i) {
			clients = append(clients, i)
		}
	}
	return clients
}

// play has all clients send at once, and compares what they heard with what they must.
func (p *plot) play(t *testing.T, c *cluster) {
	t.Helper()
	heard := make([]map[string][]int, clientsInOrder)
	var wg sync.WaitGroup
	for i, k := range p.clients {
		answered := make(chan struct{}, eventsOfClient)
		wg.Go(func() {
			defer close(answered)
			var err error
			heard[i], err = listen(k, len(c.apps), answered)
			p.fail(err)
		})
		wg.Go(func() {
			for id := range eventsOfClient {
				if id >= unanswered { // so that heartbeats, too, get their share of a busy machine
					<-answered
				}
				k.send(fmt.Sprintf(`42%d["go"]`, id))
			}
		})
	}
	eventually(t, "all events are handled", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.handled == clientsInOrder*eventsOfClient || p.failed != nil
	})
	for _, io := range c.apps {
		if err := errors.Join(io.Emit("end"), io.Flush(t.Context())); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		t.Fatal(p.failed)
	}
	operations := 0
	for _, g := range slices.Concat(p.instances, p.own) {
		operations += g.n
		for i := range clientsInOrder {
			if got := heard[i][g.name]; !slices.Equal(got, g.want[i]) {
				t.Errorf("client %d heard of %s: %s", i, g.name, difference(got, g.want[i]))
			}
		}
	}
	if operations < leastOperations {
		t.Errorf("%d operations, want %d", operations, leastOperations)
	}
}

// difference tells where what was heard is another than what must be.
func difference(got, want []int) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("%d of %d, from %d on %v, want %v", len(got), len(want), i, got[i:min(i+8, len(got))], want[i:min(i+8, len(want))])
}

// listen collects, by program, the numbers that a client hears until as many instances have said that they are at their end,
// and tells of each acknowledgement.
func listen(k *client, instances int, answered chan<- struct{}) (map[string][]int, error) {
	packet := regexp.MustCompile(`^(42|451-|43\d+)\[(?:"o",)?"(\w+)",(\d+)(,\{"_placeholder":true,"num":0\})?\]$`)
	heard := map[string][]int{}
	attached := "" // what the next message must be
	late := time.NewTimer(patience)
	defer late.Stop()
	for ends := 0; ends < instances; {
		select {
		case text, ok := <-k.got:
			late.Reset(patience)
			m := packet.FindStringSubmatch(text)
			switch {
			case !ok:
				return heard, fmt.Errorf("client %s was closed", k.id)
			case attached != "":
				if text != attached {
					return heard, fmt.Errorf("client %s got %q, want the attachment %q", k.id, text, attached)
				}
				attached = ""
			case text == `42["end"]`:
				ends++
			case m == nil:
				return heard, fmt.Errorf("client %s got %q", k.id, text)
			default:
				n, err := strconv.Atoi(m[3])
				if err != nil {
					return heard, fmt.Errorf("number: %w", err)
				}
				heard[m[2]] = append(heard[m[2]], n)
				switch {
				case strings.HasPrefix(m[1], "43"):
					answered <- struct{}{}
				case strings.HasPrefix(m[1], "45"):
					attached = m[2] + m[3]
				}
			}
		case <-late.C:
			return heard, fmt.Errorf("client %s hears nothing more", k.id)
		}
	}
	return heard, nil
}
