package edge

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// counted is a listener whose connections count what is written to them.
type counted struct {
	net.Listener
	writes, bytes atomic.Int64
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countedConn{Conn: c, of: l}, err
}

type countedConn struct {
	net.Conn
	of *counted
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.of.bytes.Add(int64(n))
	c.of.writes.Add(1)
	return n, err
}

// Whatever a frame from the mesh holds for a client goes out in one write.
func TestOneWriteForEachFrame(t *testing.T) {
	const frames = 50
	ln := &counted{}
	e := newBenchOn(t, quietBus{bus.NewMemory()}, func(inner net.Listener) net.Listener {
		ln.Listener = inner
		return ln
	})
	sk, _ := e.join()
	text := `["message","` + strings.Repeat("x", 100) + `"]`
	to := emit(0, text)
	to.Socket, to.Epoch, to.Origin, to.Namespace = sk.addr, 1, e.app.addr.Instance, sk.namespace
	all := broadcast(0, wire.Selector{}, text)
	all.Origin, all.Namespace = e.app.addr.Instance, sk.namespace
	from := mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()}
	eventually(t, "the handshake and the open packet", func() bool { return ln.writes.Load() == 2 })
	writes, bytes := ln.writes.Load(), ln.bytes.Load()
	for i := range int64(frames) {
		for _, r := range []*wire.Record{to, all, to, to, all} {
			if err := e.s.Record(from, r); err != nil {
				t.Fatal(err)
			}
		}
		if got := ln.writes.Load() - writes; got != i {
			t.Fatalf("%d writes before the end of frame %d", got, i)
		}
		e.s.EndFrame()
		eventually(t, "a write", func() bool { return ln.writes.Load()-writes > i })
		if got := ln.bytes.Load() - bytes; got < 5*100*(i+1) {
			t.Fatalf("%d bytes written after %d frames of five packets", got, i+1)
		}
	}
}
