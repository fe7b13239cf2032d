package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// The model is a few instances that all send to one another over a network which a test drives message by message. Nothing
// runs by itself: no goroutine, no clock. Its handlers check what they get.

const modelNodes = 3

type model struct {
	t       *rapid.T
	cfg     Config
	now     time.Time
	nodes   [modelNodes]*node
	routes  map[route][]bus.Msg
	opened  uint32 // streams
	control bool   // append control records too
}

// route is a way of the network; it keeps order. Different ways do not keep it between them.
type route struct{ from, to mesh.InstanceID }

// node is one life of an instance. It is the bus of its endpoint.
type node struct {
	bus.Bus
	model    *model
	endpoint *Endpoint
	up       bool
	out      map[*node]*stream
	in       map[mesh.InstanceID]*incoming
}

// stream is what the test knows of a link.
type stream struct {
	id      uint32
	link    *Link
	to      *node
	records []sentRecord
	taken   int // delivered, in any life of the receiver
	marked  uint64
	broken  error
}

type sentRecord struct {
	seq     uint64
	size    int
	control bool
}

// incoming is what a node has got from a peer.
type incoming struct {
	begun  bool
	stream uint32 // 0 before the first record of the link
	last   uint32 // stream before
	next   int
}

func newModel(t *rapid.T, cfg Config) *model {
	m := &model{t: t, cfg: cfg, now: time.Unix(0, 0), routes: map[route][]bus.Msg{}}
	for i := range m.nodes {
		m.start(i)
	}
	return m
}

// start begins a new life of node i.
func (m *model) start(i int) {
	n := &node{model: m, up: true, out: map[*node]*stream{}, in: map[mesh.InstanceID]*incoming{}}
	self := address([]mesh.Kind{mesh.KindEdge, mesh.KindRooms, mesh.KindApp}[i])
	n.endpoint = NewEndpoint(n, mesh.Subjects{}, self, n, slog.New(slog.DiscardHandler), m.cfg)
	m.nodes[i] = n
}

// stream returns the whole link from one node to another.
func (m *model) stream(from, to *node) *stream {
	s := from.out[to]
	if s != nil && s.link.Broken() == nil {
		return s
	}
	m.opened++
	s = &stream{id: m.opened, link: from.endpoint.Link(to.endpoint.Self()), to: to}
	s.link.OnMark(func(seq uint64) { m.checkMark(s, seq) })
	s.link.OnBreak(func(err error) {
		if s.broken != nil || !errors.Is(err, ErrBroken) {
			m.t.Fatalf("stream %d: told of a break by %v after %v", s.id, err, s.broken)
		}
		s.broken = err
	})
	from.out[to] = s
	return s
}

// append gives a record to a link, if there is room.
func (m *model) append(s *stream, size int, control bool) {
	body := make([]byte, max(size, 8))
	binary.BigEndian.PutUint32(body, s.id)
	binary.BigEndian.PutUint32(body[4:], uint32(len(s.records)))
	for i := 8; i < len(body); i++ {
		body[i] = byte(i)
	}
	r := wire.Record{Kind: wire.KindEvent, Body: body}
	if control {
		r.Flags = wire.FlagControl
	}
	seq, err := s.link.Append(&r)
	switch {
	case err == nil:
		s.records = append(s.records, sentRecord{seq, r.Size(), control})
		m.checkWindow(s)
	case !errors.Is(err, ErrFull) && !errors.Is(err, ErrBroken):
		m.t.Fatalf("append: %v", err)
	}
}

// checkWindow: not more than the window is outstanding, unless it is one record that is larger. Of a record whose first
// fragments are marked, what is left is at least the whole ones.
func (m *model) checkWindow(s *stream) {
	marked, records, pieces, size, before := s.link.Marked(), 0, 0, 0, uint64(0)
	for _, r := range s.records {
		if r.seq > marked && !r.control {
			records++
			pieces += int(r.seq - max(marked, before))
			if marked <= before {
				size += r.size
			} else {
				size += int(r.seq-marked-1) * s.link.endpoint.fragment
			}
		}
		before = r.seq
	}
	if records > 1 && (pieces > m.cfg.WindowRecords || size > m.cfg.WindowBytes) {
		m.t.Fatalf("outstanding: %d records of %d bytes, window %d of %d", pieces, size, m.cfg.WindowRecords, m.cfg.WindowBytes)
	}
}

// checkMark: what is marked was delivered.
func (m *model) checkMark(s *stream, seq uint64) {
	for i, r := range s.records {
		if r.seq <= seq && i >= s.taken {
			m.t.Fatalf("stream %d: %d marked, record %d with sequence %d was not delivered", s.id, seq, i, r.seq)
		}
	}
}

// deliver takes the oldest message of a route.
func (m *model) deliver(r route) {
	msg := m.routes[r][0]
	m.routes[r] = m.routes[r][1:]
	for _, n := range m.nodes {
		if n.endpoint.self.Instance == r.to && n.up {
			n.endpoint.receive(msg)
		}
		for _, s := range n.out {
			if marked := s.link.Marked(); marked < s.marked {
				m.t.Fatalf("stream %d: marked %d after %d", s.id, marked, s.marked)
			} else {
				s.marked = marked
			}
		}
	}
}

// tick lets time pass at a node.
func (m *model) tick(n *node) {
	e := n.endpoint
	e.turn.Lock()
	e.giveMarks()
	e.endTurn()
	e.look(m.now)
	e.turn.Lock()
	e.endTurn()
}

// cut disconnects a node: what is on its way to or from it is lost.
func (m *model) cut(n *node) {
	n.up = false
	id := n.endpoint.self.Instance
	for r := range m.routes {
		if r.from == id || r.to == id {
			delete(m.routes, r)
		}
	}
}

func (m *model) heal(n *node) {
	n.up = true
	n.endpoint.again()
}

// Send implements bus.Bus.
func (n *node) Send(subject, _ string, data []byte) error {
	if !n.up {
		return bus.ErrDisconnected
	}
	if len(data) > n.MaxPayload() {
		n.model.t.Fatalf("sent %d bytes, at most %d", len(data), n.MaxPayload())
	}
	id, err := mesh.ParseInstanceID(strings.Split(subject, ".")[len(strings.Split(subject, "."))-3])
	if err != nil {
		n.model.t.Fatalf("send to %s: %v", subject, err)
	}
	r := route{n.endpoint.self.Instance, id}
	n.model.routes[r] = append(n.model.routes[r], bus.Msg{Subject: subject, Data: bytes.Clone(data)})
	return nil
}

// MaxPayload implements bus.Bus.
func (n *node) MaxPayload() int { return 1000 }

// Connected implements bus.Bus.
func (n *node) Connected() bool { return n.up }

// Opened implements Handler.
func (n *node) Opened(from mesh.Address) {
	in := n.in[from.Instance]
	if in == nil {
		in = &incoming{}
		n.in[from.Instance] = in
	}
	if in.stream != 0 {
		in.last = in.stream
	}
	in.begun, in.stream, in.next = true, 0, 0
}

// Record implements Handler: every record of a link comes once, in order, from the first.
func (n *node) Record(from mesh.Address, r *wire.Record) error {
	t := n.model.t
	in := n.in[from.Instance]
	if in == nil || !in.begun {
		t.Fatalf("record before Opened")
	}
	id, index := binary.BigEndian.Uint32(r.Body), int(binary.BigEndian.Uint32(r.Body[4:]))
	if in.stream == 0 {
		if id <= in.last {
			t.Fatalf("stream %d began after %d", id, in.last)
		}
		in.stream = id
	}
	if id != in.stream || index != in.next {
		t.Fatalf("got record %d of stream %d, want %d of %d", index, id, in.next, in.stream)
	}
	for i := 8; i < len(r.Body); i++ {
		if r.Body[i] != byte(i) {
			t.Fatalf("record %d of stream %d: byte %d is wrong", index, id, i)
		}
	}
	in.next++
	for _, sender := range n.model.nodes {
		if s := sender.out[n]; s != nil && s.id == id {
			s.taken = max(s.taken, in.next)
		}
	}
	return nil
}

// EndFrame implements Handler.
func (n *node) EndFrame() {}
