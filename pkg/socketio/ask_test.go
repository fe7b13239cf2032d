package socketio

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// ask does as rooms and the edge do with a broadcast with acknowledgement; the end is for the test to say. The caller holds
// ring.mu.
func (d *roomsDouble) ask(from mesh.Address, rec *wire.Record) error {
	rooms, except, _, packet, err := wire.ReadAsk(rec.Body)
	if err != nil {
		return err
	}
	texts := func(list wire.StringsView) (texts []string) {
		for s, ok := list.Next(); ok; s, ok = list.Next() {
			texts = append(texts, string(s))
		}
		return texts
	}
	in, out := texts(rooms), texts(except)
	edges := slices.Clone(d.ring.edges)
	var ids []string
	var selected []*client
	for _, c := range d.ring.clients {
		if c.selected(string(rec.Namespace), in, out) {
			ids, selected = append(ids, c.id), append(selected, c)
		}
	}
	if len(ids) > 0 {
		edges = append(edges, d.ring.edge.Self().Instance.String())
		d.ring.tellApp(from, wire.Record{Kind: wire.KindAskIDs, Flags: wire.FlagControl, Ack: rec.Ack, Body: wire.AppendStrings(nil, ids)})
	}
	for _, c := range selected { // only now, since the test answers at once
		c.put(rec, packet)
	}
	l := d.ep.Link(from)
	if d.ring.mute {
		return nil
	}
	if _, err := l.Append(&wire.Record{Kind: wire.KindAskEdges, Flags: wire.FlagControl, Ack: rec.Ack, Body: wire.AppendStrings(nil, edges)}); err != nil {
		return err
	}
	l.Flush()
	return nil
}

// tellApp sends a record of the edge.
func (r *ring) tellApp(to mesh.Address, rec wire.Record) {
	l := r.edge.Link(to)
	if _, err := l.Append(&rec); err != nil {
		r.tb.Errorf("kind %d: %v", rec.Kind, err)
	}
	l.Flush()
}

// acknowledge answers a broadcast.
func (c *client) acknowledge(request uint64, args ...any) {
	body, err := newEncoder().ack(wire.AppendReply(nil, c.id), args)
	if err != nil {
		c.ring.tb.Error(err)
	}
	c.ring.tellApp(c.app, wire.Record{Kind: wire.KindAskReply, Ack: request, Body: body})
}

// endAsk has the edge say that no more answers come.
func (c *client) endAsk(request uint64, silent ...string) {
	c.ring.tellApp(c.app, wire.Record{Kind: wire.KindAskEnd, Flags: wire.FlagControl, Ack: request, Body: wire.AppendStrings(nil, silent)})
}

type askResult struct {
	replies []Reply
	err     error
}

// asking asks in the background.
func asking(t *testing.T, b BroadcastOperator) <-chan askResult {
	t.Helper()
	c := make(chan askResult, 1)
	go func() { // the test receives
		replies, err := b.EmitWithAck(t.Context(), "q", 1)
		c <- askResult{replies, err}
	}()
	return c
}

func TestBroadcastWithAck(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	a, b := r.join(s, "/"), r.join(s, "/")
	asked := asking(t, s.Timeout(time.Minute).Compress(false))
	p := a.expect(wire.KindAsk)
	if got := b.expect(wire.KindAsk); p.String() != "31q 1" || got.ack != p.ack || p.flags != wire.FlagNoCompress {
		t.Errorf("got %v, %v", p, got)
	}
	a.acknowledge(p.ack, "one", "dropped")
	a.acknowledge(p.ack, "again")
	b.acknowledge(p.ack, []byte{2})
	b.endAsk(p.ack)
	got := receive(t, "the replies", asked)
	if got.err != nil || len(got.replies) != 2 { // BRO-013, CLU-006
		t.Fatalf("got %+v", got)
	}
	var word string
	var data []byte
	if err := errors.Join(got.replies[0].Bind(&word), got.replies[1].Bind(&data)); err != nil || word != "one" || data[0] != 2 || // CLU-007
		got.replies[0].SocketID != a.id || got.replies[1].SocketID != b.id {
		t.Errorf("got %+v, %v", got.replies, err)
	}
	if args := got.replies[0].Args(); args.Len() != 1 || string(got.replies[0].Raw()) != `"one"` { // BRO-018
		t.Errorf("got %d arguments", args.Len())
	}
	if got := receive(t, "nobody", asking(t, s.To("none").Timeout(time.Minute))); got.err != nil || len(got.replies) > 0 { // BRO-016, CLU-008
		t.Errorf("got %+v", got)
	}
	s.asks.mu.Lock()
	defer s.asks.mu.Unlock()
	if n := len(s.asks.open); n != 0 { // CLU-009
		t.Errorf("%d asks are kept", n)
	}
}

func TestBroadcastAckTimeout(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	a, b := r.join(s, "/"), r.join(s, "/")
	asked := asking(t, s.Timeout(2*time.Second))
	p := a.expect(wire.KindAsk)
	a.acknowledge(p.ack)
	got := receive(t, "the replies", asked)
	var missing *MissingError
	if len(got.replies) != 1 || got.replies[0].SocketID != a.id || !errors.As(got.err, &missing) || !errors.Is(got.err, ErrTimeout) ||
		!slices.Equal(missing.SocketIDs, []string{b.id}) { // BRO-014, BRO-015, CLU-009
		t.Fatalf("got %+v", got)
	}
	if want := "operation has timed out: 1 clients did not acknowledge"; got.err.Error() != want {
		t.Errorf("got %q, want %q", got.err, want)
	}
	b.acknowledge(p.ack, "late") // nobody waits any more
	b.endAsk(p.ack)
	if _, err := s.FetchSockets(t.Context()); err != nil { // and nothing broke
		t.Error(err)
	}
	if err := got.replies[0].Bind(new(int)); !errors.Is(err, ErrMissingArgument) {
		t.Errorf("got %v", err)
	}
}

// waited returns whom the ask waits for.
func (k *ask) waited() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.missing()
}

// TestNobodyIsForgotten: a reply that comes as the time is over is among the replies, or its client among the missing.
func TestNobodyIsForgotten(t *testing.T) {
	edge := mesh.NewInstanceID()
	body, err := newEncoder().ack(wire.AppendReply(nil, "a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		s := &Server{}
		k := s.asks.add(1, 0)
		err := s.askedOf(edge, &wire.Record{Kind: wire.KindAskIDs, Ack: 1, Body: wire.AppendStrings(nil, []string{"a"})})
		if err != nil {
			t.Fatal(err)
		}
		replied := make(chan error, 1)
		go func() { replied <- s.askedOf(edge, &wire.Record{Kind: wire.KindAskReply, Ack: 1, Body: body}) }() // received below
		replies, end, missing := k.take(ErrTimeout)
		if err := <-replied; err != nil {
			t.Fatal(err)
		}
		if !end || len(replies)+len(missing.SocketIDs) != 1 {
			t.Fatalf("got %d replies, missing %v", len(replies), missing)
		}
	}
}

// TestAskedEdgeDies: an edge that dies before rooms has named it is not waited for.
func TestAskedEdgeDies(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	r.lock(func() { r.mute = true })
	a := r.join(s, "/")
	asked := asking(t, s.Timeout(time.Minute))
	p := a.expect(wire.KindAsk)
	eventually(t, "the edge has told whom it asks", func() bool { return len(s.asks.get(p.ack).waited()) == 1 })
	early, late := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}, r.edge.Self()
	for _, edge := range []mesh.Address{early, late} { // CLU-021
		s.peerChanged(presence.Died, presence.Peer{Address: edge})
	}
	named := wire.AppendStrings(nil, []string{early.Instance.String(), late.Instance.String()})
	if err := s.asked(&wire.Record{Ack: p.ack, Body: named}); err != nil {
		t.Fatal(err)
	}
	var missing *MissingError
	if got := receive(t, "the end", asked); !errors.As(got.err, &missing) || !slices.Equal(missing.SocketIDs, []string{a.id}) {
		t.Errorf("got %+v", got)
	}
	a.leave(ReasonTransportClose) // else the Server waits for its edge to ask for it
}

func TestBroadcastAckOfTheGone(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	a, b := r.join(s, "/"), r.join(s, "/")
	asked := asking(t, s.Timeout(time.Minute))
	p := a.expect(wire.KindAsk)
	a.acknowledge(p.ack, 1)
	a.endAsk(p.ack, b.id)
	got := receive(t, "the replies", asked)
	var missing *MissingError
	if len(got.replies) != 1 || !errors.As(got.err, &missing) || !errors.Is(got.err, ErrDisconnected) || !slices.Equal(missing.SocketIDs, []string{b.id}) {
		t.Errorf("got %+v", got)
	}
	asked = asking(t, s.Timeout(time.Minute))
	p = a.expect(wire.KindAsk)
	eventually(t, "the edge has told whom it asks", func() bool {
		k := s.asks.get(p.ack)
		return k != nil && len(k.waited()) == 2
	})
	a.acknowledge(p.ack, 1)
	edge := r.edge.Self().Instance
	eventually(t, "one has replied", func() bool { return len(s.asks.get(p.ack).waited()) == 1 })
	s.edgeEnded(edge, everyLease) // CLU-021
	got = receive(t, "the replies", asked)
	if len(got.replies) != 1 || !errors.Is(got.err, ErrDisconnected) {
		t.Errorf("got %+v", got)
	}
}

// TestAskedEdgeOpensALink checks what a new link of an edge means for those who wait: nothing if it is the first.
func TestAskedEdgeOpensALink(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	edge := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
	r.lock(func() { r.edges = []string{edge.Instance.String()} })
	told := func(kind wire.Kind, request uint64, ids ...string) {
		t.Helper()
		if err := s.askedOf(edge.Instance, &wire.Record{Kind: kind, Ack: request, Body: wire.AppendStrings(nil, ids)}); err != nil {
			t.Error(err)
		}
	}
	begin := func() (k *ask, request uint64, result <-chan askResult) {
		t.Helper()
		result = asking(t, s.Timeout(time.Minute))
		eventually(t, "rooms has named the edge", func() bool {
			s.asks.mu.Lock()
			for request, k = range s.asks.open {
			}
			s.asks.mu.Unlock()
			if k == nil {
				return false
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.named
		})
		return k, request, result
	}
	k, request, result := begin()
	receiver{server: s}.Opened(edge) // the first: what comes on it is the answer
	told(wire.KindAskIDs, request, "a", "b")
	if got := k.waited(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
	receiver{server: s}.Opened(edge) // again: something may be lost
	var missing *MissingError
	if got := receive(t, "the result", result); !errors.As(got.err, &missing) || len(missing.SocketIDs) != 2 || !errors.Is(got.err, ErrDisconnected) {
		t.Errorf("got %+v", got)
	}
	_, _, result = begin()
	receiver{server: s}.Opened(edge) // whom it asked is lost
	if got := receive(t, "the result", result); !errors.Is(got.err, ErrLost) {
		t.Errorf("got %+v", got)
	}
	s.edgeEnded(edge.Instance, everyLease) // rooms has ended it: it registers again, over the same link
	_, _, result = begin()
	s.edgeRefused(edge.Instance) // whom it asked is lost again
	if got := receive(t, "the result", result); !errors.Is(got.err, ErrLost) {
		t.Errorf("got %+v", got)
	}
	_, request, result = begin()
	receiver{server: s}.Opened(edge)       // the first since
	told(wire.KindAskEnd, request, "late") // somebody left before the edge could say whom it asks
	told(wire.KindAskIDs, request, "late")
	if got := receive(t, "the result", result); !errors.As(got.err, &missing) || !slices.Equal(missing.SocketIDs, []string{"late"}) {
		t.Errorf("got %+v", got)
	}
}

// TestAckWithoutTimeout checks that the configured time bounds the wait, where the reference fails at once.
func TestAckWithoutTimeout(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	hasty, _ := r.serverFor(func(c *Config) { c.EmitTimeout = 300 * time.Millisecond })
	_ = s.OnConnection(nothing)
	run(t, s)
	a := r.join(s, "/")
	asked := asking(t, s.To(a.id))
	p := a.expect(wire.KindAsk)
	a.acknowledge(p.ack, "in time")
	a.endAsk(p.ack)
	if got := receive(t, "the reply", asked); got.err != nil || len(got.replies) != 1 { // BRO-017
		t.Errorf("got %+v", got)
	}
	eventually(t, "rooms is known", func() bool { n, err := hasty.Count(t.Context()); return n == 1 && err == nil })
	if got := receive(t, "the timeout", asking(t, hasty.To(a.id))); !errors.Is(got.err, ErrTimeout) { // BRO-017
		t.Errorf("got %+v", got)
	}
}

func TestEachAck(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	a, b := r.join(s, "/"), r.join(s, "/")
	go func() { // ends with the end of the walk below
		p := receive(t, "the question", a.got)
		a.acknowledge(p.ack, 1)
	}()
	n := 0
	for reply, err := range s.Timeout(time.Minute).EachAck(t.Context(), "q") {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if n == 1 { // b answers when a's answer is here
			if reply.SocketID != a.id {
				t.Errorf("got %s first", reply.SocketID)
			}
			p := b.expect(wire.KindAsk)
			b.acknowledge(p.ack, 2)
			b.endAsk(p.ack)
		}
	}
	if n != 2 {
		t.Errorf("got %d replies, want 2", n)
	}
}

func TestRemoteAck(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	a := r.join(s, "/")
	sockets, err := s.FetchSockets(t.Context())
	if err != nil || len(sockets) != 1 {
		t.Fatalf("got %d sockets, %v", len(sockets), err)
	}
	go func() { // ends with what it does
		p := receive(t, "the question", a.got)
		a.acknowledge(p.ack, "first", "second")
		a.endAsk(p.ack)
	}()
	args, err := sockets[0].Timeout(time.Minute).EmitWithAck(t.Context(), "q")
	var word string
	if err = errors.Join(err, args.Bind(&word)); err != nil || word != "first" || args.Len() != 1 { // BRO-027, CLU-010
		t.Errorf("got %q of %d, %v", word, args.Len(), err)
	}
	if _, err := sockets[0].Timeout(50*time.Millisecond).EmitWithAck(t.Context(), "q"); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
	r.lock(func() { delete(r.clients, a.addr) })
	if _, err := sockets[0].Timeout(time.Minute).EmitWithAck(t.Context(), "q"); !errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v", err)
	}
	a.leave(ReasonTransportClose) // else the Server waits for its edge to ask for it
}

func TestBroadcastAckFails(t *testing.T) {
	r, s, failures, _ := serve(t, nothing)
	c := r.join(s, "/")
	eventually(t, "all is handled", c.credited) // so that the next operations are the questions
	var reserved *ReservedEventError
	if _, err := s.Timeout(time.Minute).EmitWithAck(t.Context(), "disconnect"); !errors.As(err, &reserved) { // NSP-032
		t.Errorf("got %v", err)
	}
	parent := &ParentNamespace{server: s}
	if replies, err := parent.To("x").EmitWithAck(t.Context(), "q"); err != nil || len(replies) > 0 { // it has no children
		t.Errorf("got %v, %v", replies, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := s.Timeout(time.Minute).EmitWithAck(ctx, "q"); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if err := flushAll(t, s); err != nil {
		t.Error(err)
	}
	r.lock(func() { r.mute = true; r.hold = true })
	asked := asking(t, s.Timeout(time.Minute))
	eventually(t, "it is sent", func() (sent bool) {
		r.rooms.told.mu.Lock()
		defer r.rooms.told.mu.Unlock()
		return len(r.rooms.told.owed) > 0
	})
	r.stopRooms() // before it has said which edges
	if got := receive(t, "the loss", asked); !errors.Is(got.err, ErrLost) {
		t.Errorf("got %+v", got)
	}
	if err := receive(t, "the report", failures); !errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
	r.lock(func() { r.mute, r.hold = false, false })
	r.startRooms()
	r.lock(func() { r.edges = []string{mesh.NewInstanceID().String()} })
	asked = asking(t, s.Timeout(time.Minute)) // an edge that never says anything
	eventually(t, "it is asked", func() (asked bool) {
		s.asks.each(func(*ask) { asked = true })
		return asked
	})
	if err := s.Close(t.Context()); err != nil && !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	if got := receive(t, "the end", asked); !errors.Is(got.err, ErrClosed) {
		t.Errorf("got %v, %v", got.replies, got.err)
	}
}
