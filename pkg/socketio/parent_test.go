package socketio

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// parents returns a Server that is not running, and what its OnNewNamespace handler hears.
func parents(t *testing.T, tune ...func(*Config)) (*ring, *Server, chan error, chan string) {
	t.Helper()
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor(tune...)
	made := make(chan string, 16)
	s.OnNewNamespace(func(n *Namespace) { made <- n.Name() })
	return r, s, failures, made
}

func TestOfRegexp(t *testing.T) {
	r, s, _, made := parents(t)
	steps := make(chan string, 16)
	p := s.OfRegexp(regexp.MustCompile(`^/dyn-\d+$`))
	_ = p.Use(func(_ context.Context, s *Socket) error { steps <- "middleware " + s.Namespace().Name(); return nil })
	_ = p.OnConnection(func(s *Socket) { steps <- "connection " + s.Namespace().Name() })
	manual := s.Of("/dyn-100") // NSP-023: it gets what the parent has by now
	if got := receive(t, "the new namespace", made); got != "/dyn-100" || len(manual.connection) != 1 || len(p.Children()) != 1 {
		t.Errorf("got %s, %d handlers, %d children", got, len(manual.connection), len(p.Children()))
	}
	s.Of("/static")
	if got := receive(t, "the new namespace", made); got != "/static" { // NSP-017: static ones too
		t.Errorf("got %s", got)
	}
	s.Of("/") // not announced
	run(t, s)
	a, b := r.join(s, "/dyn-1"), r.join(s, "/dyn-2") // NSP-031: the pattern has no state, so it matches again
	manualClient := r.join(s, "/dyn-100")
	for _, want := range []string{"/dyn-1", "/dyn-2"} { // NSP-017
		if got := receive(t, "the new namespace", made); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	got := map[string]bool{}
	for range 6 { // NSP-018: the parent's middlewares and handlers apply
		got[receive(t, "a step", steps)] = true
	}
	for _, name := range []string{"/dyn-1", "/dyn-2", "/dyn-100"} {
		if !got["middleware "+name] || !got["connection "+name] {
			t.Errorf("%s: got %v", name, got)
		}
	}
	r.knock(s, "/dynamic").expect(wire.KindUnknown) // NSP-021
	r.knock(s, "/dyn-1x").expect(wire.KindUnknown)
	if err := errors.Join(p.Emit("e", 1), p.To(a.id).Emit("e", 2), p.Except(a.id).Send(3)); err != nil { // NSP-019
		t.Fatal(err)
	}
	for c, want := range map[*client][]string{
		a: {"24e 1", "24e 2"}, b: {"24e 1", "24message 3"}, manualClient: {"24e 1", "24message 3"},
	} {
		for _, w := range want {
			if got := c.expect(wire.KindBroadcast).String(); got != w {
				t.Errorf("got %s, want %s", got, w)
			}
		}
	}
	if _, err := p.To("x").FetchSockets(t.Context()); !errors.Is(err, ErrParentNamespace) { // NSP-029
		t.Errorf("got %v", err)
	}
	if n, err := p.Count(t.Context()); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	eventually(t, "a name forgotten that nobody wants", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.namespaces["/dynamic"] == nil
	})
	if s.Of("/dyn-1") != p.Children()[1] {
		t.Error("Of returns another namespace than the client's")
	}
	var presence siomeshv1.Presence
	s.describe(&presence)
	if text := fmt.Sprint(presence.GetNamespaces()); !strings.Contains(text, "dyn-100") || !strings.Contains(text, "pattern") || presence.GetDraining() {
		t.Errorf("announced %s", text)
	}
}

func TestOfFunc(t *testing.T) {
	r, s, failures, made := parents(t)
	order := make(chan string, 32)
	_ = s.Of("/static").OnConnection(nothing)
	receive(t, "the static namespace", made)
	_ = s.OfFunc(func(context.Context, string, Handshake) (bool, error) {
		order <- "fails"
		return true, errors.New("database")
	}).
		OnConnection(func(*Socket) { t.Error("a parent that failed has a child") })
	_ = s.OfFunc(func(context.Context, string, Handshake) (bool, error) { panic("oh") }).OnConnection(nothing)
	_ = s.OfFunc(func(_ context.Context, name string, h Handshake) (bool, error) { // NSP-020
		order <- "asked " + name + " " + h.Auth.Get("token")
		return name == "/yes", nil
	}).OnConnection(func(s *Socket) { order <- "connection" })
	_ = s.OfFunc(func(context.Context, string, Handshake) (bool, error) { return true, nil }).
		Use(func(context.Context, *Socket) error { return errors.New("the last parent") })
	run(t, s)
	r.join(s, "/static") // asks nobody
	r.join(s, "/yes")
	for _, want := range []string{"fails", "asked /yes t", "connection"} { // NSP-030: in order, an error moves on
		if got := receive(t, want, order); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	for range 2 {
		if err := receive(t, "the error", failures); !strings.HasPrefix(err.Error(), `decide over namespace "/yes": `) {
			t.Errorf("got %v", err)
		}
	}
	r.join(s, "/yes") // the child is there: nobody is asked
	if got := receive(t, "the connection", order); got != "connection" {
		t.Errorf("got %s", got)
	}
	r.knock(s, "/no").expect(wire.KindRefuse) // by the last parent's middleware
}

func TestOneChildForTwoClients(t *testing.T) {
	r, s, _, made := parents(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	p := s.OfFunc(func(context.Context, string, Handshake) (bool, error) {
		asked <- struct{}{}
		<-answer
		return true, nil
	})
	joined := make(chan *Namespace, 2)
	_ = p.OnConnection(func(s *Socket) { joined <- s.Namespace() })
	s.OnNewNamespace(func(n *Namespace) { // it may add to a child, before any client is in
		_ = n.Use(func(_ context.Context, s *Socket) error { return s.Emit("hello") })
		panic("stops nothing")
	})
	run(t, s)
	a, b := r.knock(s, "/x"), r.knock(s, "/x")
	for range 2 {
		receive(t, "the question", asked)
	}
	close(answer)
	for _, c := range []*client{a, b} { // NSP-022: both are in
		c.expect(wire.KindEmit)
		c.expect(wire.KindAccept)
	}
	if one, two := receive(t, "the first", joined), receive(t, "the second", joined); one != two || len(p.Children()) != 1 {
		t.Error("two namespaces of one name")
	}
	receive(t, "the new namespace", made)
	if len(made) > 0 {
		t.Error("it was announced twice")
	}
	if err := s.Of("/x").Use(func(context.Context, *Socket) error { return nil }); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v", err)
	}
}

func TestCleanupOfChildren(t *testing.T) {
	for _, cleanup := range []bool{false, true} {
		t.Run(fmt.Sprint(cleanup), func(t *testing.T) {
			r, s, _, made := parents(t, func(c *Config) { c.CleanupEmptyChildNamespaces = cleanup })
			p := s.OfRegexp(regexp.MustCompile("^/dyn"))
			_ = p.Use(func(_ context.Context, s *Socket) error {
				if s.Namespace().Name() == "/dyn-refused" {
					return errors.New("no")
				}
				return nil
			})
			_ = s.Of("/static").OnConnection(nothing)
			_ = s.Of("/dyn-static").OnConnection(nothing)
			run(t, s)
			children := func(want int) func() bool { return func() bool { return len(p.Children()) == want } }
			a, b := r.join(s, "/dyn-1"), r.join(s, "/dyn-1")
			r.knock(s, "/dyn-refused").expect(wire.KindRefuse)
			if cleanup {
				eventually(t, "refused", children(2)) // NSP-025
			}
			a.leave(ReasonTransportClose)
			static := r.join(s, "/static")
			r.join(s, "/dyn-static").leave(ReasonTransportClose)
			static.leave(ReasonTransportClose)
			eventually(t, "only one is left", func() bool { return s.sockets.len() == 1 && idle(s) })
			if want := map[bool]int{false: 3, true: 2}[cleanup]; len(p.Children()) != want { // NSP-026, NSP-028: others stay
				t.Errorf("got %d children, want %d", len(p.Children()), want)
			}
			b.leave(ReasonTransportClose)
			eventually(t, "none is left", func() bool { return s.sockets.len() == 0 && idle(s) })
			stay := map[bool]int{false: 3, true: 1}[cleanup] // NSP-024, NSP-028
			eventually(t, fmt.Sprint(stay, " children"), children(stay))
			if s.announced["/static"] != s.Of("/static") || s.announced["/dyn-static"] != s.Of("/dyn-static") { // NSP-028: never removed
				t.Error("a static namespace was removed")
			}
			for len(made) > 0 {
				<-made
			}
			r.join(s, "/dyn-1") // NSP-027
			if (len(made) == 1) != cleanup {
				t.Errorf("made anew: got %v, want %v", len(made) == 1, cleanup)
			}
		})
	}
}

func TestParentsAfterRun(t *testing.T) {
	r, s, failures, made := parents(t)
	p := s.OfRegexp(regexp.MustCompile("^/a"))
	run(t, s)
	s.OfRegexp(regexp.MustCompile("^/b"))
	for _, err := range []error{
		receive(t, "an error", failures), p.OnConnection(nothing), p.Use(func(context.Context, *Socket) error { return nil }),
	} {
		if !errors.Is(err, ErrRunning) {
			t.Errorf("got %v, want %v", err, ErrRunning)
		}
	}
	n := s.Of("/a1")
	if got := receive(t, "the new namespace", made); got != "/a1" || p.Children()[0] != n {
		t.Errorf("got %s, children %v", got, p.Children())
	}
	r.join(s, "/a1")
	r.knock(s, "/b1").expect(wire.KindUnknown)
}

func TestAskChildren(t *testing.T) {
	r, s, _, _ := parents(t)
	p := s.OfRegexp(regexp.MustCompile("^/dyn-"))
	_ = p.OnConnection(nothing)
	run(t, s)
	clients := []*client{r.join(s, "/dyn-1"), r.join(s, "/dyn-2"), r.join(s, "/dyn-2")}
	asked := asking(t, p.Timeout(time.Minute))
	for i, c := range clients {
		q := c.expect(wire.KindAsk)
		c.acknowledge(q.ack, i)
		if i != 1 {
			defer c.endAsk(q.ack) // too late, and ignored
			c.endAsk(q.ack)
		}
	}
	if got := receive(t, "the replies", asked); got.err != nil || len(got.replies) != 3 {
		t.Errorf("got %d replies, %v", len(got.replies), got.err)
	}
	asked = asking(t, p.Timeout(time.Minute))
	var silent []string
	for i, c := range clients[:2] { // one of each child
		q := c.expect(wire.KindAsk)
		if silent = append(silent, c.id); i == 1 {
			silent = append(silent, clients[2].id)
			c.endAsk(q.ack, silent[1:]...)
			continue
		}
		c.endAsk(q.ack, c.id)
	}
	var missing *MissingError
	if got := receive(t, "the end", asked); !errors.As(got.err, &missing) || !slices.Equal(missing.SocketIDs, silent) {
		t.Errorf("got %+v", got)
	}
	clients[2].expect(wire.KindAsk)
	asks := make(chan packet, 1)
	go func() { // received below
		q := receive(t, "the question", clients[0].got)
		clients[0].acknowledge(q.ack, 1)
		asks <- q
	}()
	for reply, err := range p.Timeout(time.Minute).EachAck(t.Context(), "q", 1) {
		if reply.SocketID != clients[0].id || err != nil {
			t.Errorf("got %v, %v", reply, err)
		}
		break // the other child's end does not come
	}
	receive(t, "the question", asks)
	eventually(t, "nobody waits", func() bool {
		s.asks.mu.Lock()
		defer s.asks.mu.Unlock()
		return len(s.asks.open) == 0
	})
}
