package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// notes records what an observer is told.
type notes struct {
	tb testing.TB

	mu  sync.Mutex
	got []string // guarded by mu
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got = append(n.got, fmt.Sprintf(format, args...))
}

func show(p Packet) string {
	if p.Binary {
		return fmt.Sprintf("%s(%x)", p.Type, p.Data)
	}
	return fmt.Sprintf("%s(%s)", p.Type, p.Data)
}

func shown(packets []Packet) string {
	var all []string
	for _, p := range packets {
		all = append(all, show(p))
	}
	return strings.Join(all, "+")
}

// observer returns one that notes everything.
func (n *notes) observer() *Observer {
	return &Observer{
		Packet:       func(p Packet) { n.add("packet %s", show(p)) },
		Heartbeat:    func() { n.add("heartbeat") },
		PacketCreate: func(p Packet) { n.add("create %s", show(p)) },
		Flush:        func(packets []Packet) { n.add("flush %s", shown(packets)) },
		Drain:        func() { n.add("drain") },
		Upgrading:    func(transport string) { n.add("upgrading %s", transport) },
		Upgrade:      func(transport string) { n.add("upgrade %s", transport) },
		Close: func(reason Reason, cause error, unsent []Packet) {
			n.add("close %s, %v, %s", reason, cause, shown(unsent))
		},
	}
}

// want waits until exactly these notes have come since the last call.
func (n *notes) want(want ...string) {
	n.tb.Helper()
	take := func() []string {
		n.mu.Lock()
		defer n.mu.Unlock()
		return slices.Clone(n.got)
	}
	end := time.Now().Add(deadline)
	for len(take()) < len(want) && time.Now().Before(end) {
		<-time.After(time.Millisecond)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.got, want) {
		n.tb.Errorf("noted\n  %s\nwant\n  %s", strings.Join(n.got, "\n  "), strings.Join(want, "\n  "))
	}
	n.got = nil
}

// observing returns options for sessions that n observes.
func observing(n *notes) options {
	return options{peer: func(p *peer) {
		o := n.observer()
		o.Drain = func() {
			if len(p.s.out) != 0 || p.s.outBytes != 0 { // EVT-001: the buffer is empty; the session is locked
				n.tb.Errorf("%d messages of %d bytes are queued at a drain", len(p.s.out), p.s.outBytes)
			}
			n.add("drain")
		}
		p.s.Observe(o)
	}}
}

// EVT-001, EVT-002, EVT-003, EVT-004, EVT-006 on WebSocket.
func TestObserveWebSocket(t *testing.T) {
	n := &notes{tb: t}
	e := newEnv(t, Config{}, observing(n))
	c, p := e.openWS()
	n.want("flush open({\"sid\":\""+string(p.s.ID())+"\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000})", "drain")
	if err := p.s.Send(text("a"), NewBinary([]byte{1, 255})); err != nil {
		t.Fatal(err)
	}
	n.want("create message(a)", "create message(01ff)", // EVT-006: before
		"flush message(a)+message(01ff)", "drain") // EVT-001, EVT-002: in order, each once
	for _, m := range []string{"b", "c"} {
		if err := p.s.Queue(text(m)); err != nil {
			t.Fatal(err)
		}
	}
	n.want("create message(b)", "create message(c)") // EVT-003: nothing has been sent
	p.s.Flush()
	p.s.Flush()
	n.want("flush message(b)+message(c)", "drain") // EVT-001
	c.send("4up")
	c.sendBinary("\x02")
	n.want("packet message(up)", "packet message(02)")
	if err := p.s.Queue(text("lost"), text("too")); err != nil {
		t.Fatal(err)
	}
	p.s.Discard(ForcedClose)
	p.waitClosed(ForcedClose)
	n.want("create message(lost)", "create message(too)",
		"close forced close, <nil>, message(lost)+message(too)") // EVT-003: no flush; EVT-004
	p.s.mu.Lock()
	left, size := len(p.s.out), p.s.outBytes
	p.s.mu.Unlock()
	if left != 0 || size != 0 { // EVT-003, EVT-004: nothing is held any more
		t.Errorf("%d messages of %d bytes are left", left, size)
	}
	if err := p.s.Send(text("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after the end: %v, want ErrClosed", err)
	}
	n.want()
}

// EVT-001, EVT-002, EVT-003 on polling.
func TestObservePolling(t *testing.T) {
	n := &notes{tb: t}
	e := newEnv(t, Config{InitialPacket: text("initial")}, observing(n))
	res := e.do(t.Context(), http.MethodGet, "transport=polling", "")
	open, _, _ := strings.Cut(res.body, "\x1e")
	c := &poller{e: e, sid: parseOpen(t, open).SID, p: e.accepted()}
	n.want("flush open("+open[1:]+")+message(initial)", "drain")
	if err := c.p.s.Send(text("a"), text("b")); err != nil {
		t.Fatal(err)
	}
	n.want("create message(a)", "create message(b)") // EVT-003: no GET, no flush
	c.wantGet(200, "4a\x1e4b")
	n.want("flush message(a)+message(b)", "drain") // EVT-001, EVT-002: one payload
	get := c.goGet()
	if err := c.p.s.Send(text("c")); err != nil {
		t.Fatal(err)
	}
	wantResponse(t, wait(t, get), 200, "4c")
	n.want("create message(c)", "flush message(c)", "drain")
	get = c.goGet()
	c.wantPost("4x\x1e1")
	wantResponse(t, wait(t, get), 200, "6") // which was never created, nor flushed
	n.want("packet message(x)", "packet close()", "close transport close, <nil>, ")
}

// EVT-001: where bytes wait to be taken the drain comes when they have been.
func TestObserveDrainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notes{tb: t}
		e := newPipeEnv(t, Config{}, observing(n)) // a pipe takes nothing until it is read
		c, p := e.openWS()
		synctest.Wait()
		n.mu.Lock()
		n.got = nil
		n.mu.Unlock()
		if err := p.s.Send(text("a"), text("b")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n.want("create message(a)", "create message(b)", "flush message(a)+message(b)")
		c.text()
		synctest.Wait()
		n.want()
		c.text()
		n.want("drain") // EVT-001
		pinged := make(chan struct{})
		go func() { // the pipe takes it when the server reads; waited for below
			defer close(pinged)
			c.write(ws.NewPingFrame(nil))
		}()
		c.want(ws.OpPong)
		<-pinged
		synctest.Wait()
		n.want() // EVT-001: nothing was flushed

		if err := p.s.Send(text("never")); err != nil {
			t.Fatal(err)
		}
		_ = c.conn.Close()
		<-p.closed // by its reader or by its writer
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.got) != 3 || slices.Contains(n.got, "drain") { // EVT-003: create, flush, close
			t.Errorf("noted %q of a message that did not go out", n.got)
		}
	})
}

// HB-011, EVT-006: pings and pongs.
func TestObserveHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notes{tb: t}
		e := newPipeEnv(t, Config{}, observing(n))
		c := e.openPolling()
		synctest.Wait()
		n.mu.Lock()
		n.got = nil
		n.mu.Unlock()
		c.wantGet(200, "2")
		n.want("create ping()", "flush ping()", "drain") // HB-011, EVT-006
		c.wantPost("3")
		n.want("packet pong()", "heartbeat") // HB-011
		c.wantPost("4x")
		n.want("packet message(x)")
		_ = c.post("2") // cut: it ends the session
		c.p.waitClosed(TransportError)
		n.want("packet ping()", "close transport error, invalid heartbeat direction, ") // HB-009
	})
}

// UPG-007, UPG-013: what is sent amid an upgrade is told as flushed and drained, in order.
func TestObserveUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notes{tb: t}
		e := newPipeEnv(t, Config{}, observing(n))
		c := e.openPolling()
		synctest.Wait()
		n.mu.Lock()
		n.got = nil
		n.mu.Unlock()
		w := c.dialProbe()
		synctest.Wait()
		n.want()
		w.send("2probe")
		if got := w.text(); got != "3probe" {
			t.Errorf("got %q", got)
		}
		n.want("upgrading websocket") // UPG-013
		if err := c.p.s.Send(text("one")); err != nil {
			t.Fatal(err)
		}
		c.wantGet(200, "4one")
		synctest.Wait()
		if err := c.p.s.Send(text("two"), text("three")); err != nil {
			t.Fatal(err)
		}
		w.send("2probe")
		w.text()
		n.want("create message(one)", "flush message(one)", "drain", "create message(two)", "create message(three)") // UPG-007
		w.send("5")
		if got := w.text() + w.text(); got != "4two4three" {
			t.Errorf("got %q", got)
		}
		n.want("upgrade websocket", "flush message(two)+message(three)", "drain") // UPG-007, UPG-013
		w.send("4x")
		n.want("packet message(x)")
		_ = w.conn.Close()
		c.p.waitClosed(TransportClose)
		n.want("close transport close, read: " + io.EOF.Error() + ", ")
	})
}

// EVT-003: nothing is told after the end, although the last payload is still being written.
func TestObserveNothingAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notes{tb: t}
		e := newPipeEnv(t, Config{}, observing(n))
		c := e.openPolling()
		conn, err := e.dial(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET /engine.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\n\r\n", c.sid); err != nil {
			t.Fatal(err)
		}
		c.waitPending()
		synctest.Wait()
		n.mu.Lock()
		n.got = nil
		n.mu.Unlock()
		if err := c.p.s.Send(text("late")); err != nil { // the pipe takes nothing yet
			t.Fatal(err)
		}
		c.p.s.Discard(ForcedClose)
		c.p.waitClosed(ForcedClose)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != "4late" {
			t.Errorf("got %q, %v", b, err)
		}
		synctest.Wait()
		n.want("create message(late)", "flush message(late)", "close forced close, <nil>, ")
	})
}

// EVT-005: Server.Close discards what is queued, also of a session that is closing already.
func TestObserveServerClose(t *testing.T) {
	n := &notes{tb: t}
	e := newEnv(t, Config{}, observing(n))
	c := e.openPolling()
	eventually(t, "drain of the handshake", func() bool { // the client has the answer before that
		n.mu.Lock()
		defer n.mu.Unlock()
		if !slices.Contains(n.got, "drain") {
			return false
		}
		n.got = nil
		return true
	})
	if err := c.p.s.Send(text("lost")); err != nil {
		t.Fatal(err)
	}
	c.p.s.Close()
	n.want("create message(lost)")
	e.close()
	c.p.waitClosed(ForcedClose)
	n.want("close forced close, <nil>, message(lost)") // EVT-005
	c.wantGone()
}

// An observer may leave out anything, and Observe may be left out.
func TestObserverOfNothing(t *testing.T) {
	e := newEnv(t, Config{}, options{peer: func(p *peer) { p.echo = true; p.s.Observe(&Observer{}) }})
	c := e.openPolling()
	c.wantPost("4x")
	c.wantGet(200, "4x")
	w := c.upgrade()
	w.send("4y")
	if got := w.text(); got != "4y" {
		t.Errorf("got %q", got)
	}
	w.send("1")
	c.p.waitClosed(TransportClose)
}
