package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus/bustest"
	"github.com/siomesh/siomesh/internal/mesh/link"
)

// scenario is what happens to two instances with streams between them.
type scenario struct {
	seed    uint64
	window  int
	chunk   int
	links   link.Config
	faults  bustest.Faults
	streams []plan
	events  []event
}

// plan is one stream: what each side sends, and after how many bytes it hangs up, 0 for never.
type plan struct {
	from   int // instance that opens it
	after  time.Duration
	sizes  [2]int // of the opener, of the accepter
	hangUp [2]int
}

// event happens to one instance.
type event struct {
	after time.Duration
	what  string
	to    int
}

// TestStreamsOverFaults: whatever the network does, the bytes of every stream arrive exactly and in order; what ends early ends
// with an error, and nobody waits for ever.
func TestStreamsOverFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawScenario(rt)
		var problems []string
		synctest.Test(t, func(t *testing.T) { problems = play(t, c) })
		if len(problems) > 0 {
			rt.Fatal(strings.Join(problems, "\n"))
		}
	})
}

func drawScenario(t *rapid.T) scenario {
	c := scenario{
		seed:   rapid.Uint64().Draw(t, "seed"),
		window: rapid.SampledFrom([]int{1, 10, 1000, 20_000}).Draw(t, "window"),
		chunk:  rapid.SampledFrom([]int{1 << 10, 64 << 10}).Draw(t, "chunk"),
		links:  link.Config{WindowRecords: rapid.SampledFrom([]int{4, 100, 8192}).Draw(t, "records")},
		faults: bustest.Faults{
			Drop:      rapid.SampledFrom([]float64{0, 0.05, 0.3}).Draw(t, "drop"),
			Duplicate: rapid.SampledFrom([]float64{0, 0.2}).Draw(t, "duplicate"),
			Pause:     rapid.SampledFrom([]time.Duration{time.Microsecond, 3 * time.Millisecond}).Draw(t, "pause"),
		},
	}
	most := min(40*c.window, 30_000)
	for range rapid.IntRange(1, 8).Draw(t, "streams") {
		p := plan{from: rapid.IntRange(0, 1).Draw(t, "from"), after: drawTime(t)}
		for i := range p.sizes {
			p.sizes[i] = rapid.IntRange(0, most).Draw(t, "size")
			p.hangUp[i] = max(0, rapid.IntRange(-most, most/2).Draw(t, "hang up"))
		}
		c.streams = append(c.streams, p)
	}
	for range rapid.IntRange(0, 4).Draw(t, "events") {
		c.events = append(c.events, event{
			drawTime(t), rapid.SampledFrom([]string{"cut", "break", "dead", "restart"}).Draw(t, "what"), rapid.IntRange(0, 1).Draw(t, "to"),
		})
	}
	return c
}

func drawTime(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(0, 100).Draw(t, "ms")) * time.Millisecond
}

// stage is a scenario that is being played.
type stage struct {
	scenario
	network *bustest.Network
	busy    sync.WaitGroup // what ends with the streams
	running sync.WaitGroup // what ends with ctx

	mu       sync.Mutex
	actors   [2]*actor // guarded by mu
	dead     []*actor  // guarded by mu
	problems []string  // guarded by mu
}

// actor is one life of an instance.
type actor struct {
	end
	bus  *bustest.Faulty
	stop context.CancelFunc
}

func (g *stage) problem(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.problems = append(g.problems, fmt.Sprintf(format, args...))
}

func (g *stage) actor(i int) *actor {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.actors[i]
}

// play plays a scenario in a bubble and returns what was wrong.
func play(t *testing.T, c scenario) []string {
	t.Helper()
	g := &stage{scenario: c, network: bustest.NewNetwork(c.seed, c.faults)}
	ctx, cancel := context.WithCancel(t.Context())
	g.running.Go(func() { _ = g.network.Run(ctx) }) // ends with ctx, without an error
	for i := range g.actors {
		g.start(ctx, i)
	}
	for id, p := range c.streams {
		g.busy.Go(func() {
			<-time.After(p.after)
			g.openStream(ctx, id, p)
		})
	}
	for _, e := range c.events {
		g.busy.Go(func() {
			<-time.After(e.after)
			g.happen(ctx, e)
		})
	}
	<-time.After(200 * time.Millisecond)
	g.network.SetFaults(bustest.Faults{})
	<-time.After(10 * time.Second) // longer than a stream is being opened
	g.tellDeaths()
	ended := make(chan struct{})
	g.running.Go(func() {
		g.busy.Wait()
		close(ended)
	})
	select {
	case <-ended:
		<-time.After(time.Minute)
		for i := range g.actors {
			if n := g.actor(i).mux.cfg.Metrics.Open.Load(); n != 0 {
				g.problem("instance %d: %d streams are not forgotten", i, n)
			}
		}
	case <-time.After(10 * time.Minute):
		for i := range g.actors {
			g.problem("instance %d: streams wait for ever: %s", i, g.actor(i).mux.describe())
		}
	}
	for i := range g.actors {
		g.actor(i).mux.Close()
	}
	g.busy.Wait()
	cancel()
	g.running.Wait()
	g.network.Close()
	return g.problems
}

// start begins a life of instance i.
func (g *stage) start(ctx context.Context, i int) {
	ctx, stop := context.WithCancel(ctx)
	a := &actor{bus: g.network.Process(strconv.Itoa(i)), stop: stop}
	a.self = mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
	a.links = link.NewEndpoint(a.bus, mesh.Subjects{}, a.self, a, slog.New(slog.DiscardHandler), g.links)
	a.mux = New(a.links, func(_ mesh.Address, head []byte, s *Stream) { //nolint:contextcheck // a net.Conn has deadlines
		id, err := strconv.Atoi(string(head))
		if err != nil || id >= len(g.streams) {
			g.problem("head %q", head)
			s.Reset("unknown head")
			return
		}
		g.busy.Go(func() { g.use(s, id, 1) })
	}, Config{Window: g.window, Chunk: g.chunk})
	g.running.Go(func() { _ = a.links.Run(ctx) }) // ends with ctx
	<-a.links.Ready()
	g.mu.Lock()
	g.actors[i] = a
	g.mu.Unlock()
}

// happen plays an event.
func (g *stage) happen(ctx context.Context, e event) {
	a, other := g.actor(e.to), g.actor(1-e.to)
	switch e.what {
	case "cut":
		a.bus.Cut()
		<-time.After(50 * time.Millisecond)
		a.bus.Heal()
	case "break": // the other one refuses the link
		l := a.links.Link(other.self)
		_, _ = l.Append(endRecord(key{})) // malformed; an error is a link that is broken already
		l.Flush()
	case "dead": // says one who is wrong
		a.links.Drop(other.self.Instance)
		a.mux.Drop(other.self.Instance)
		<-time.After(30 * time.Millisecond)
		a.mux.Up(other.self)
	case "restart":
		a.mux.Close()
		a.stop()
		g.start(ctx, e.to)
		g.mu.Lock()
		g.dead = append(g.dead, a)
		g.mu.Unlock()
		g.tellDeaths()
	}
}

// tellDeaths tells the living of all who are dead.
func (g *stage) tellDeaths() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.actors {
		for _, dead := range g.dead {
			a.links.Drop(dead.self.Instance)
			a.mux.Drop(dead.self.Instance)
		}
	}
}

func (g *stage) openStream(ctx context.Context, id int, p plan) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := g.actor(p.from).mux.Open(ctx, g.actor(1-p.from).self, []byte(strconv.Itoa(id)), p.sizes[0] == 0)
	if err != nil {
		return
	}
	g.use(s, id, 0) //nolint:contextcheck // a net.Conn has deadlines
}

// use is one side of a stream, 0 the opener's.
func (g *stage) use(s *Stream, id, side int) {
	p, random := g.streams[id], rand.New(rand.NewPCG(g.seed, uint64(id))) //nolint:gosec // repeatable
	pieces := make([]int, 64)
	for i := range pieces {
		pieces[i] = 1 + random.IntN(5000)
	}
	var both sync.WaitGroup
	both.Go(func() {
		if p.sizes[side] == 0 && side == 0 {
			return // said when it was opened
		}
		writeData(s, data(id, side, p.sizes[side]), pieces)
	})
	want, limit := data(id, 1-side, p.sizes[1-side]), p.hangUp[side]
	got, err := readData(s, limit, pieces)
	switch {
	case len(got) > len(want) || string(got) != string(want[:len(got)]):
		g.problem("stream %d, side %d: got %d wrong bytes", id, side, len(got))
	case errors.Is(err, io.EOF) && len(got) != len(want) && p.hangUp[1-side] == 0: // who hangs up may do so between two writes
		g.problem("stream %d, side %d: it ends after %d bytes of %d", id, side, len(got), len(want))
	}
	if err == nil { // it hangs up
		_ = s.Close()
	}
	both.Wait()
	_ = s.Close()
}

// describe says what is open.
func (m *Mux) describe() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for k, s := range m.streams {
		s.mu.Lock()
		fmt.Fprintf(&b, " %v: received %d, owed %d, credit %d, ended %v, %v, link %v;", k, s.in.size, s.owed, s.credit, s.gotEnd, s.sentEnd, s.link.Broken())
		s.mu.Unlock()
	}
	return b.String()
}

func writeData(s *Stream, b []byte, pieces []int) {
	for i := 0; ; i++ {
		n := min(len(b), pieces[i%len(pieces)])
		if n == len(b) && i%2 == 0 {
			_, _ = s.WriteLast(b) // an error is the end of the stream, which its readers hear of
			return
		}
		if _, err := s.Write(b[:n]); err != nil {
			return
		}
		if b = b[n:]; len(b) == 0 {
			_ = s.CloseWrite() // as above
			return
		}
	}
}

// readData reads to the end, or until it has more than limit bytes if that is not 0.
func readData(s *Stream, limit int, pieces []int) (got []byte, err error) {
	for i := 0; limit == 0 || len(got) < limit; i++ {
		b := make([]byte, pieces[i%len(pieces)])
		n, err := s.Read(b)
		got = append(got, b[:n]...)
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

// data is what a side of a stream sends.
func data(id, side, n int) []byte {
	random := rand.New(rand.NewPCG(uint64(id), uint64(side))) //nolint:gosec // repeatable
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}
