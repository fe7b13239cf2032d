package engine

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// An idle connection costs one goroutine and no buffer: neither those of the HTTP server that it came from, nor one to read
// into.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const n, bound = 100, 4 << 10
	e := newEnv(t, Config{}, options{peer: func(p *peer) { p.echo = true }})
	measure := func() (goroutines, heap int) {
		runtime.GC() // twice, for what the pools hold
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), int(m.HeapAlloc) //nolint:gosec // small
	}
	e.chat() // the first one brings what stays
	settled(t)
	goroutines, heap := measure()
	for range n {
		e.chat()
	}
	eventually(t, "one goroutine for each connection", func() bool { return runtime.NumGoroutine() <= goroutines+n })
	g, h := measure()
	if g > goroutines+n {
		t.Errorf("%d goroutines for %d connections", g-goroutines, n)
	}
	if per := (h - heap) / n; per > bound {
		t.Errorf("%d bytes of heap for each connection and its client, want at most %d", per, bound)
	}
}

// settled waits until the number of goroutines is the same for a while: those of net/http end later than what they served.
func settled(tb testing.TB) {
	tb.Helper()
	last, same := 0, 0
	eventually(tb, "steady number of goroutines", func() bool { // once a millisecond
		if n := runtime.NumGoroutine(); n != last {
			last, same = n, 0
		}
		same++
		return same > 100
	})
}

// chat opens a WebSocket that has been used both ways.
func (e *env) chat() {
	e.tb.Helper()
	c, _ := e.openWS()
	c.send("4x")
	if got := c.text(); got != "4x" {
		e.tb.Fatalf("echo is %q", got)
	}
}

// scriptIO is a connection that brings one text frame after the other and notes who reads.
type scriptIO struct {
	sinkIO
	frames  []string
	readers []string
	ended   chan struct{}
}

func (s *scriptIO) read() (*[]byte, int, error) {
	id, _, _ := bytes.Cut(stack(), []byte(" ["))
	s.readers = append(s.readers, string(id))
	if len(s.frames) == 0 {
		close(s.ended)
		return nil, 0, io.EOF
	}
	b := client(ws.NewTextFrame([]byte(s.frames[0])))
	s.frames = s.frames[1:]
	return &b, len(b), nil
}

// stack begins with the number of the calling goroutine.
func stack() []byte {
	b := make([]byte, 64)
	return b[:runtime.Stack(b, false)]
}

// A handler may make the stack of the reader grow: it is given up for a new one with the first heartbeat, and only then.
func TestHeartbeatGivesTheStackBack(t *testing.T) {
	srv, err := New(func(*Session, *http.Request) (Handler, error) { return nil, nil }, Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(srv, "id", "", WebSocket)
	s.handler = &quiet{}
	script := &scriptIO{frames: []string{"4a", "4b", "3", "3", "4c", "3"}, ended: make(chan struct{})}
	c := &wsConn{srv: srv, io: script, frames: frameReader{limit: srv.cfg.MaxHTTPBufferSize}}
	c.setOwner(wsTransport{s})
	if !s.open(c) {
		t.Fatal("session not opened")
	}
	srv.serveConn(c, nil)
	select {
	case <-script.ended:
	case <-time.After(deadline):
		t.Fatal("not read to the end")
	}
	(&env{tb: t, srv: srv}).close()
	var changes []int // before which reads another goroutine went on
	for i := 1; i < len(script.readers); i++ {
		if script.readers[i] != script.readers[i-1] {
			changes = append(changes, i)
		}
	}
	if want := []int{3, 6}; !slices.Equal(changes, want) {
		t.Errorf("the reader changed before reads %v, want %v", changes, want)
	}
}

// writerIO notes who writes.
type writerIO struct {
	sinkIO
	writer string
}

func (w *writerIO) tryWrite(b []byte) (int, error) {
	id, _, _ := bytes.Cut(stack(), []byte(" ["))
	w.writer = string(id)
	return w.sinkIO.tryWrite(b)
}

// Who sends writes, there and then: no goroutine waits for something to write.
func TestSenderWrites(t *testing.T) {
	s, c, _, _ := newSinkSession(t)
	out := &writerIO{}
	c.io = out
	before := runtime.NumGoroutine()
	if err := s.Send(NewText([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	id, _, _ := bytes.Cut(stack(), []byte(" ["))
	if out.writer != string(id) || out.written == 0 {
		t.Errorf("%d bytes written by %q, want all by %q", out.written, out.writer, id)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines more", after-before)
	}
}

// All deadlines of sessions hang on the wheel: the other timers of this package are for moments in which a request or a
// handshake waits anyway.
func TestTimers(t *testing.T) {
	allowed := map[string]bool{"wheel.go NewTimer": true, "post.go NewTimer": true, "v3.go After": true}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, ok := sel.X.(*ast.Ident)
			timers := []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Tick"}
			if use := name + " " + sel.Sel.Name; ok && of.Name == "time" && slices.Contains(timers, sel.Sel.Name) && !allowed[use] {
				t.Errorf("%s: time.%s", name, sel.Sel.Name)
			}
			return true
		})
	}
}
