package socketio

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// What becomes of operations when the link to rooms breaks before they are confirmed: the ring loses them, or only their
// confirmation.

// breakLink breaks the link to rooms from their side; what comes on the next one is not lost.
func (r *ring) breakLink(s *Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rooms.ep.Refuse(s.self.Instance, "a test", func() { r.lock(func() { r.lose = false }) })
}

// dropLink breaks the link to rooms from this side, with nothing lost but what rooms holds back.
func (r *ring) dropLink(s *Server) {
	r.mu.Lock()
	r.hold, r.lose = false, false
	id := r.rooms.ep.Self().Instance
	r.mu.Unlock()
	s.endpoint.Drop(id)
}

func losing(r *ring) { r.lock(func() { r.lose = true }) }

func TestAcceptIsSentAgain(t *testing.T) {
	r, s, failures, sockets := serve(t, nothing)
	losing(r)
	c := r.knock(s, "/")
	socket := receive(t, "the socket", sockets)
	r.breakLink(s)
	c.expect(wire.KindAccept)
	if err := socket.Emit("on the new link"); err != nil {
		t.Error(err)
	}
	if got, want := c.expect(wire.KindEmit).String(), "19on the new link"; got != want { // behind it
		t.Errorf("got %s, want %s", got, want)
	}
	if len(failures) > 0 {
		t.Errorf("reported %v, though nothing was lost", <-failures)
	}
}

// TestLossEndsTheSockets: who may have missed something is told, by the end of its connection, and joins again.
func TestLossEndsTheSockets(t *testing.T) {
	ends := make(chan Disconnect, 2)
	r, s, failures, sockets := serve(t, func(s *Socket) { s.OnDisconnect(func(d Disconnect) { ends <- d }) })
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	settle(t, s, c)
	broken := make(chan error, 1)
	r.edge.Link(s.self).OnBreak(func(err error) { broken <- err })
	losing(r)
	if err := socket.Emit("lost"); err != nil {
		t.Fatal(err)
	}
	r.breakLink(s)
	if err := receive(t, "the loss", failures); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want %v", err, ErrLost)
	}
	if err := receive(t, "the edge's word", broken); !errors.Is(err, link.ErrRefused) { // and it closes the connections
		t.Errorf("the edge's link: got %v, want %v", err, link.ErrRefused)
	}
	if d := receive(t, "the end", ends); d.Reason != ReasonTransportClose {
		t.Errorf("ended with %q", d.Reason)
	}
	next := r.join(s, "/")
	if err := receive(t, "the next socket", sockets).Emit("heard"); err != nil {
		t.Error(err)
	}
	next.expect(wire.KindEmit)
}

// TestLossThatEndsNobody: what went to other instances, and volatile packets, no client can miss.
func TestLossThatEndsNobody(t *testing.T) {
	r, s, failures, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	settle(t, s, c)
	losing(r)
	if err := errors.Join(s.ServerSideEmit("e"), socket.Volatile().Emit("e")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "sent", func() bool { return unconfirmed(s) == 2 })
	r.breakLink(s)
	if err := receive(t, "the loss", failures); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want %v", err, ErrLost)
	}
	if err := socket.Emit("heard"); err != nil {
		t.Error(err)
	}
	if got, want := c.expect(wire.KindEmit).String(), "19heard"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLossBeforeAHandOver: a client that may have missed something is not handed over as if nothing had happened.
func TestLossBeforeAHandOver(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor(func(c *Config) { c.DrainTimeout = patience })
	_ = s.OnConnection(func(s *Socket) {
		s.OnHandOver(func() {
			if err := s.Emit("lost"); err != nil {
				t.Error(err)
			}
		})
	})
	end, result := run(t, s)
	c := r.join(s, "/")
	settle(t, s, c)
	broken := make(chan error, 1)
	r.edge.Link(s.self).OnBreak(func(err error) { broken <- err })
	losing(r)
	end()
	eventually(t, "handed over, as it seems", func() bool { return s.sockets.len() == 0 && unconfirmed(s) == 2 })
	r.breakLink(s)
	if err := receive(t, "the loss", failures); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want %v", err, ErrLost)
	}
	if err := receive(t, "the edge's word", broken); !errors.Is(err, link.ErrRefused) {
		t.Errorf("the edge's link: got %v, want %v", err, link.ErrRefused)
	}
	_ = receive(t, "the end of Run", result) // with ErrLost if OnError had not heard of that before
	if len(c.detached) > 0 {
		t.Error("the client was handed over")
	}
}

// TestHandOverBehindALoss is that of a hand-over which had not been sent.
func TestHandOverBehindALoss(t *testing.T) {
	r := newRing(t)
	s, _ := r.serverWith(link.Config{WindowRecords: 1})
	p := partition{owner: mesh.Address{Instance: mesh.NewInstanceID()}, last: 1, confirmed: 0}
	full, late := s.endpoint.Link(mesh.Address{Instance: mesh.NewInstanceID()}), &wire.Record{Kind: wire.KindDetached, Seq: 1}
	if _, err := full.Append(&wire.Record{Kind: wire.KindEmit}); err != nil {
		t.Fatal(err)
	}
	p.sizes.push(1, missedLoss)
	p.verdicts = []wire.Record{{Kind: wire.KindDetached, Socket: wire.SocketAddr{Slot: 7}}, {Kind: wire.KindAccept}}
	p.unsent = 2
	a := p.abandon()
	if !a.missed || a.lost != 1 || len(a.stay) != 1 || a.stay[0].Slot != 7 || len(p.verdicts) != 1 || p.unsent != 1 {
		t.Errorf("got %+v, %d verdicts of which %d are to be sent", a, len(p.verdicts), p.unsent)
	}
	p.verdicts, p.unsent = nil, 0
	for _, try := range []struct {
		misses uint64 // when the socket came
		link   *link.Link
		want   error
	}{
		{0, nil, ErrLost},
		{0, s.endpoint.Link(p.owner), ErrLost},
		{1, nil, errNoLink},
		{1, full, ErrWindowFull}, // and once there is room
		{1, s.endpoint.Link(p.owner), nil},
	} {
		r := late
		if try.misses == 0 {
			r = &wire.Record{Kind: wire.KindDetached}
		}
		p.link = try.link
		if _, err := p.append(s.out, r); !errors.Is(err, try.want) {
			t.Errorf("a socket that came after %d losses: got %v, want %v", try.misses, err, try.want)
		}
	}
}

// TestFullOfVerdicts: what is sent again before an operation leaves although there is no room for that.
func TestFullOfVerdicts(t *testing.T) {
	const window = 8
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverWith(link.Config{WindowRecords: window})
	_ = s.OnConnection(nothing)
	run(t, s)
	c := r.join(s, "/")
	settle(t, s, c)
	p := &s.out.parts[s.Of("/").partition]
	p.mu.Lock()
	for range window {
		p.verdicts = append(p.verdicts, *verdict(s, c))
	}
	p.unsent = window
	p.mu.Unlock()
	if err := s.Emit("late"); err != nil {
		t.Error(err)
	}
	for range window {
		c.expect(wire.KindAccept)
	}
	c.expect(wire.KindBroadcast)
}

// TestLostQuestion: who waits for the answer to a packet that was lost waits no longer than the socket lives, which ends.
func TestLostQuestion(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	settle(t, s, c)
	losing(r)
	asked := make(chan error, 1)
	go func() { // received below
		_, err := socket.Volatile().EmitWithAck(context.Background(), "q")
		asked <- err
	}()
	eventually(t, "sent", func() bool { return unconfirmed(s) == 1 })
	r.breakLink(s)
	if err := receive(t, "the answer", asked); !errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v, want %v", err, ErrDisconnected)
	}
}

// TestWatchOfABrokenLink: a link that breaks while nothing is unconfirmed may have been the end of what was watched.
func TestWatchOfABrokenLink(t *testing.T) {
	r := newRing(t)
	s, _ := r.serverFor()
	p := partition{owner: mesh.Address{Instance: mesh.NewInstanceID()}, last: 1, confirmed: 1}
	p.watches = []watch{{namespace: []byte("/"), on: true, op: 1}}
	p.verdicts, p.unsent = []wire.Record{{Kind: wire.KindAccept}}, 1
	p.link = s.endpoint.Link(p.owner)
	flush := p.flush()
	s.endpoint.Drop(p.owner.Instance)
	if _, err := p.append(s.out, &wire.Record{Kind: wire.KindEmit}); !errors.Is(err, errNoLink) {
		t.Errorf("got %v, want %v", err, errNoLink)
	}
	if p.owed != 1 || !p.missed || flush.op != 3 { // the watch is 2, the verdict 3
		t.Errorf("%d watches are to be sent again, events missed: %v, the flush waits for %d, want 1, true, 3", p.owed, p.missed, flush.op)
	}
}

func TestRefusalIsSentAgain(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	_ = s.Use(func(context.Context, *Socket) error { return &ConnectError{Message: "no"} })
	run(t, s)
	losing(r)
	c := r.knock(s, "/")
	eventually(t, "refused", func() bool { return s.sockets.len() == 0 && unconfirmed(s) == 1 })
	r.breakLink(s)
	var refusal siomeshv1.Refuse
	if err := proto.Unmarshal(c.expect(wire.KindRefuse).body, &refusal); err != nil || refusal.GetMessage() != "no" {
		t.Errorf("got %v, %v", &refusal, err)
	}
}

// unconfirmed returns how many operations on "/" are.
func unconfirmed(s *Server) int {
	p := &s.out.parts[s.Of("/").partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sizes.len()
}

// settle waits until a client has credit for all it sent, and rooms has confirmed all on "/".
func settle(tb testing.TB, s *Server, c *client) {
	tb.Helper()
	eventually(tb, "idle", func() bool { return c.credited() && unconfirmed(s) == 0 })
}

func TestCloseIsSentAgain(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	losing(r)
	if err := socket.Disconnect(true); err != nil {
		t.Fatal(err)
	}
	r.breakLink(s)
	if p := c.expect(wire.KindClose); p.flags&wire.FlagClose == 0 {
		t.Error("the connection is not closed")
	}
}

// TestOnlyTheConfirmationIsLost shows that an edge may get a verdict twice, and that Flush waits for it without an error.
func TestOnlyTheConfirmationIsLost(t *testing.T) {
	r, s, failures, _ := serve(t, nothing)
	c := r.join(s, "/")
	p := &s.out.parts[s.Of("/").partition]
	settle(t, s, c)
	losing(r)
	if err := s.out.send(t.Context(), verdict(s, c)); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- flushAll(t, s) }() // receive waits
	eventually(t, "flush waiting", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.flushes) == 1
	})
	r.dropLink(s)
	c.expect(wire.KindAccept)
	if err := receive(t, "flush", flushed); err != nil {
		t.Errorf("flush: %v", err)
	}
	if len(failures) > 0 {
		t.Errorf("reported %v, though nothing was lost", <-failures)
	}
	if n := len(p.verdicts); n > 0 {
		t.Errorf("%d verdicts are kept after their confirmation", n)
	}
}

// verdict is an accept of a client.
func verdict(s *Server, c *client) *wire.Record {
	body, err := proto.Marshal(&siomeshv1.Accept{SocketId: c.id})
	if err != nil {
		c.ring.tb.Error(err)
	}
	n := s.Of(c.ns)
	return &wire.Record{
		Kind: wire.KindAccept, Socket: c.addr, Epoch: 1, Namespace: n.nameBytes, Partition: n.partition, Body: body,
	}
}

// TestManyAreSentAgain loses more verdicts than the new link takes at once.
func TestManyAreSentAgain(t *testing.T) {
	const n = 200
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverWith(link.Config{WindowRecords: 8})
	_ = s.OnConnection(nothing)
	run(t, s)
	losing(r)
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = r.knock(s, "/")
	}
	p := &s.out.parts[s.Of("/").partition]
	kept := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.verdicts)
	}
	eventually(t, "all accepted", func() bool { return kept() == n })
	before := p.losses.Load()
	r.breakLink(s)
	eventually(t, "the break", func() bool { return p.losses.Load() > before })
	if err := s.Emit("late"); err != nil { // there are still some to be sent: it waits its turn
		t.Error(err)
	}
	for _, c := range clients {
		c.expect(wire.KindAccept)
		if got, want := c.expect(wire.KindBroadcast).String(), "24late"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, c := range clients {
		eventually(t, "credit", c.credited)
	}
	eventually(t, "all confirmed", func() bool { return kept() == 0 })
}

// TestRoomsIsBack shows that verdicts survive a time without an owner, which counts as their loss meanwhile.
func TestRoomsIsBack(t *testing.T) {
	r, s, failures, _ := serve(t, nothing)
	c := r.join(s, "/")
	settle(t, s, c)
	losing(r)
	if err := s.out.send(t.Context(), verdict(s, c)); err != nil {
		t.Fatal(err)
	}
	c.lock(func() { c.handled = 0 }) // as if the mark had gone the same way
	r.mu.Lock()
	rooms := r.rooms.ep.Self()
	r.mu.Unlock()
	number := s.Of("/").partition
	s.out.disown(rooms.Instance) // what presence would have it do, if it took rooms for dead
	if err := receive(t, "the loss", failures); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want %v", err, ErrLost)
	}
	if err := flushAll(t, s); !errors.Is(err, ErrLost) {
		t.Errorf("flush: got %v, want %v", err, ErrLost)
	}
	if err := flushAll(t, s); err != nil { // does not wait for an owner
		t.Errorf("flush: %v", err)
	}
	eventually(t, "a mark that could not be sent is kept", s.keeper.tick) // its own goroutine may have it just now
	r.lock(func() { r.lose = false })
	s.out.own(uint32(number), rooms, 1) // alive after all
	c.expect(wire.KindAccept)
	eventually(t, "the handled mark", c.credited)
}

// TestVerdictsGoFirst shows that whoever comes first on a new link sends what is owed before.
func TestVerdictsGoFirst(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	c := r.join(s, "/")
	settle(t, s, c)
	r.lock(func() { r.hold = true })
	if err := s.out.send(t.Context(), verdict(s, c)); err != nil {
		t.Fatal(err)
	}
	c.expect(wire.KindAccept) // but nothing is confirmed
	r.mu.Lock()
	rooms := r.rooms.ep.Self()
	r.mu.Unlock()
	s.out.disown(rooms.Instance)
	r.lock(func() { r.hold = false })
	p := &s.out.parts[s.Of("/").partition]
	p.mu.Lock()
	p.owner, p.link, p.epoch, p.begun = rooms, s.endpoint.Link(rooms), 1, p.last
	p.mu.Unlock()
	if err := s.Emit("e"); err != nil {
		t.Fatal(err)
	}
	c.expect(wire.KindAccept)
	c.expect(wire.KindBroadcast)
}

// TestFlushWaitsForEveryVerdict shows that a flush ends no sooner because the verdicts it waits for get new numbers.
func TestFlushWaitsForEveryVerdict(t *testing.T) {
	p := partition{owner: mesh.Address{Instance: mesh.NewInstanceID()}, last: 7, confirmed: 5}
	for op := range uint64(2) {
		p.sizes.push(1, missedLoss)
		p.verdicts = append(p.verdicts, wire.Record{Kind: wire.KindAccept, Op: 6 + op})
	}
	before := p.flush()
	p.abandon()
	if after := p.flush(); before.op != 9 || after.op != 9 {
		t.Errorf("flushes wait for %d and %d, want 9", before.op, after.op)
	}
}

func TestHandledIsReportedAgain(t *testing.T) {
	r, s, _, sockets := serve(t, func(s *Socket) { s.On("e", func(context.Context, *Event) error { return nil }) })
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	eventually(t, "credit", c.credited)
	for i, cut := range map[string]func(*Server){"rooms breaks the link": r.breakLink, "the app does": r.dropLink} {
		losing(r)
		c.emit("", "e")
		eventually(t, "a report on its way", func() (sent bool) {
			c.lock(func() { sent = socket.reported.Load() == c.seq && c.handled < c.seq })
			return sent
		})
		cut(s)
		eventually(t, i+": the report repeated", c.credited)
		eventually(t, "nothing owed", func() bool { return !socket.dirty.Load() })
	}
	if err := errors.Join(s.Emit("e"), flushAll(t, s)); err != nil && !errors.Is(err, ErrLost) {
		t.Error(err)
	}
}

// TestReportBehindALoss shows that a mark sent before a loss, and noted after it, is reported again.
func TestReportBehindALoss(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	eventually(t, "credit", func() bool { return socket.handled.Load() == 1 && socket.reported.Load() == 1 && !socket.dirty.Load() })
	c.lock(func() { c.handled = 0 })
	before := socket.losses()
	s.out.parts[s.Of("/").partition].losses.Add(1)
	socket.reports(1, before)
	eventually(t, "the report repeated", c.credited)
}

func TestRefusedOperation(t *testing.T) {
	r, s, failures, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	eventually(t, "credit", func() bool { return socket.reported.Load() == 1 && !socket.dirty.Load() })
	c.lock(func() { c.handled = 0 }) // the operation that carried it was refused
	l := r.toApp(s)
	if _, err := l.Append(&wire.Record{
		Kind: wire.KindOpFailed, Flags: wire.FlagControl, Partition: mesh.Partition("/"), Op: 1, Body: []byte("too large"),
	}); err != nil {
		t.Fatal(err)
	}
	l.Flush()
	if err := receive(t, "the failure", failures); err == nil {
		t.Error("got no error")
	}
	eventually(t, "the report repeated", c.credited)
}

// TestVerdictWaitsForRooms shows that a socket is decided over however long it takes.
func TestVerdictWaitsForRooms(t *testing.T) {
	r := newRing(t)
	s, failures := r.serverFor(short)
	_ = s.OnConnection(nothing)
	_ = s.Of("/closed").Use(func(context.Context, *Socket) error { return fmt.Errorf("no\xff") })
	run(t, s)
	in, out := r.knock(s, "/"), r.knock(s, "/closed")
	for range 2 {
		if err := receive(t, "the wait", failures); !errors.Is(err, ErrNoRooms) {
			t.Errorf("got %v, want %v", err, ErrNoRooms)
		}
	}
	left := r.knock(s, "/")
	_ = receive(t, "the third wait", failures)
	left.leave("transport close")
	eventually(t, "the one who left forgotten", func() bool { return s.sockets.len() == 2 && s.workers.wait(canceled()) == 2 })
	r.startRooms()
	in.expect(wire.KindAccept)
	var refusal siomeshv1.Refuse
	if err := proto.Unmarshal(out.expect(wire.KindRefuse).body, &refusal); err != nil || refusal.GetMessage() != "no\ufffd" {
		t.Errorf("got %v, %v", &refusal, err)
	}
	if len(failures) > 0 {
		t.Errorf("reported again: %v", <-failures)
	}
}

func TestRefusalTooLarge(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor(func(c *Config) { c.MaxPacket = 1000 })
	_ = s.Use(func(context.Context, *Socket) error { return &ConnectError{Message: "no", Data: make([]int, 1000)} })
	run(t, s)
	var refusal siomeshv1.Refuse
	if err := proto.Unmarshal(r.knock(s, "/").expect(wire.KindRefuse).body, &refusal); err != nil || refusal.GetMessage() != internalError {
		t.Errorf("got %v, %v", &refusal, err)
	}
	if err := receive(t, "the error", failures); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}
