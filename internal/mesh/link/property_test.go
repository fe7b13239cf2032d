package link

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestExactlyOnce: whatever the network does, the records of a link come once and in order, or its sender is told of a
// break; and when the network heals, everything moves again.
func TestExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			WindowBytes:   rapid.IntRange(200, 4000).Draw(t, "window bytes"),
			WindowRecords: rapid.IntRange(1, 20).Draw(t, "window records"),
			MaxRecord:     10000,
			StuckAfter:    rapid.SampledFrom([]time.Duration{2 * time.Second, time.Hour}).Draw(t, "stuck after"),
			Metrics:       &Metrics{},
		}
		m := newModel(t, cfg)
		m.control = true
		t.Repeat(map[string]func(*rapid.T){
			"append":    m.drawAppend,
			"append2":   m.drawAppend,
			"flush":     func(t *rapid.T) { m.drawStream(t).link.Flush() },
			"deliver":   func(t *rapid.T) { m.deliver(m.drawRoute(t)) },
			"deliver2":  m.drawDeliverMany,
			"lose":      func(t *rapid.T) { r := m.drawRoute(t); m.routes[r] = m.routes[r][1:] },
			"duplicate": m.drawDuplicate,
			"tick":      m.drawTick,
			"cut":       func(t *rapid.T) { m.cut(m.drawNode(t)) },
			"reconnect": func(t *rapid.T) { m.heal(m.drawNode(t)) },
			"restart":   m.drawRestart,
			"drop":      m.drawDrop,
		})
		m.settle()
	})
}

// TestNothingLostWithoutBreak: loss, repetition and delay alone break nothing. (Control records could overflow.)
func TestNothingLostWithoutBreak(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t, Config{WindowBytes: 3000, WindowRecords: 10, MaxRecord: 10000, StuckAfter: time.Hour})
		t.Repeat(map[string]func(*rapid.T){
			"append":    m.drawAppend,
			"flush":     func(t *rapid.T) { m.drawStream(t).link.Flush() },
			"deliver":   m.drawDeliverMany,
			"lose":      func(t *rapid.T) { r := m.drawRoute(t); m.routes[r] = m.routes[r][1:] },
			"repeat":    func(t *rapid.T) { r := m.drawRoute(t); m.routes[r] = slices.Insert(m.routes[r], 0, m.routes[r][0]) },
			"tick":      m.drawTick,
			"cut":       func(t *rapid.T) { m.cut(m.drawNode(t)) },
			"reconnect": func(t *rapid.T) { m.heal(m.drawNode(t)) },
		})
		m.settle()
		for _, from := range m.nodes {
			for _, s := range from.out {
				if s.broken != nil {
					t.Fatalf("stream %d: %v", s.id, s.broken)
				}
			}
		}
	})
}

func (m *model) drawNode(t *rapid.T) *node {
	return m.nodes[rapid.IntRange(0, modelNodes-1).Draw(t, "node")]
}

func (m *model) drawStream(t *rapid.T) *stream {
	from := rapid.IntRange(0, modelNodes-1).Draw(t, "from")
	to := (from + rapid.IntRange(1, modelNodes-1).Draw(t, "to")) % modelNodes
	return m.stream(m.nodes[from], m.nodes[to])
}

// drawRoute draws a way with a message on it.
func (m *model) drawRoute(t *rapid.T) route {
	var busy []route
	for _, from := range m.nodes {
		for _, to := range m.nodes {
			if r := (route{from.endpoint.self.Instance, to.endpoint.self.Instance}); len(m.routes[r]) > 0 {
				busy = append(busy, r)
			}
		}
	}
	if len(busy) == 0 {
		t.Skip("no message on its way")
	}
	return rapid.SampledFrom(busy).Draw(t, "route")
}

func (m *model) drawAppend(t *rapid.T) {
	s := m.drawStream(t)
	sizes := rapid.OneOf(rapid.IntRange(8, 100), rapid.IntRange(8, 100), rapid.IntRange(8, 5000))
	for range rapid.IntRange(1, 8).Draw(t, "records") {
		m.append(s, sizes.Draw(t, "size"), m.control && rapid.IntRange(0, 5).Draw(t, "control") == 0)
	}
	if rapid.Bool().Draw(t, "flush") {
		s.link.Flush()
	}
}

func (m *model) drawDeliverMany(t *rapid.T) {
	r := m.drawRoute(t)
	for range rapid.IntRange(1, len(m.routes[r])).Draw(t, "messages") {
		m.deliver(r)
	}
}

// drawDuplicate repeats a message, at once or after later ones.
func (m *model) drawDuplicate(t *rapid.T) {
	r := m.drawRoute(t)
	at := rapid.IntRange(0, len(m.routes[r])).Draw(t, "at")
	m.routes[r] = slices.Insert(slices.Clone(m.routes[r]), at, m.routes[r][0])
}

func (m *model) drawTick(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "ms")) * time.Millisecond)
	m.tick(m.drawNode(t))
}

// drawRestart begins a new life of a node; what was sent to the old one leads nowhere. The others learn of its death.
func (m *model) drawRestart(t *rapid.T) {
	i := rapid.IntRange(0, modelNodes-1).Draw(t, "node")
	old := m.nodes[i]
	m.start(i)
	for _, n := range m.nodes {
		n.endpoint.Drop(old.endpoint.self.Instance)
		delete(n.out, old)
	}
}

// drawDrop lets one node take another for dead, wrongly. Nothing may come of the other's old link any more.
func (m *model) drawDrop(t *rapid.T) {
	s := m.drawStream(t)
	dead := m.drawNode(t).endpoint.self.Instance
	e := s.to.endpoint
	e.Drop(dead)
	e.turn.Lock()
	e.endTurn()
	if in := s.to.in[dead]; in != nil {
		in.begun = false
	}
}

// settle heals the network and checks that nothing is stuck.
func (m *model) settle() {
	for _, n := range m.nodes {
		if !n.up {
			m.heal(n)
		}
		for _, s := range n.out {
			s.link.Flush()
		}
	}
	for round := 0; !m.quiet(); round++ {
		if round > 200 {
			m.t.Fatal("records are still outstanding after 200 rounds without loss")
		}
		for r := range m.routes {
			for len(m.routes[r]) > 0 {
				m.deliver(r)
			}
		}
		m.now = m.now.Add(60 * time.Millisecond)
		for _, n := range m.nodes {
			m.tick(n)
		}
	}
	for _, from := range m.nodes {
		from.endpoint.turn.Lock()
		from.endpoint.endTurn()
		for to, s := range from.out {
			m.checkSettled(from, to, s)
		}
	}
}

// quiet reports whether nothing is on its way and every link is marked or broken.
func (m *model) quiet() bool {
	for _, queue := range m.routes {
		if len(queue) > 0 {
			return false
		}
	}
	for _, from := range m.nodes {
		for _, s := range from.out {
			if l := s.link; l.Broken() == nil && len(l.s.frames) > 0 {
				return false
			}
		}
	}
	return true
}

func (m *model) checkSettled(from, to *node, s *stream) {
	if s.link.Broken() != nil {
		if s.broken == nil {
			m.t.Fatalf("stream %d: its break was not told", s.id)
		}
		return
	}
	if s.broken != nil {
		m.t.Fatalf("stream %d: told of a break that was none: %v", s.id, s.broken)
	}
	l := &s.link.s
	if l.counted != (load{}) || l.control != (load{}) {
		m.t.Fatalf("stream %d: %+v and %+v are outstanding of nothing", s.id, l.counted, l.control)
	}
	if l.filling != nil && (l.filling.refs != 0 || len(l.filling.buf) != 0) {
		m.t.Fatalf("stream %d: memory is held: %d references", s.id, l.filling.refs)
	}
	if len(s.records) == 0 {
		return
	}
	in := to.in[from.endpoint.self.Instance]
	if in == nil || in.stream != s.id || in.next != len(s.records) {
		m.t.Fatalf("stream %d: %d records were marked, the receiver has %+v", s.id, len(s.records), in)
	}
}
