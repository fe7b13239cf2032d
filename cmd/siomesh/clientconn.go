package main

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
)

// A request that net/http cannot read it refuses by itself: it closes the connection, with a status or without, and tells
// nobody. The connection sees it: before the handler has the request, a read that has waited too long is the end, and so is
// an error status that is written.

// Why a request was not read, in the order of clientListener.unread.
const (
	headerTimeout  = iota // a header that is late, or never began
	headerTooLarge        // status 431
	malformed             // what else net/http refuses with a status: no HTTP, a transfer coding or expectation it does not know
	idle                  // nothing after an answer
	unreadReasons
)

// clientConn is a counted connection. It stays a TCPConn for the engine, which waits for bytes without a buffer.
type clientConn struct {
	*net.TCPConn
	of     *clientListener
	closed sync.Once
	phase  atomic.Uint32
}

// The phases of a connection.
const (
	awaited  uint32 = iota // net/http reads a request
	answered               // net/http waits for the next one
	handled                // a handler has the request, or the connection
)

// Read implements net.Conn.
func (c *clientConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	switch phase := c.phase.Load(); {
	case phase == handled:
	case n > 0:
		c.phase.CompareAndSwap(answered, awaited) // unless the handler has it by now, and it is another request's
	case !errors.Is(err, os.ErrDeadlineExceeded): // the client has gone
	case phase == answered:
		c.of.unread[idle].Add(1)
	default:
		c.of.unread[headerTimeout].Add(1)
	}
	return n, err //nolint:wrapcheck // it is that connection
}

// Write implements net.Conn.
func (c *clientConn) Write(b []byte) (int, error) {
	if c.phase.Load() != handled {
		switch {
		case bytes.HasPrefix(b, []byte("HTTP/1.1 431 ")):
			c.of.unread[headerTooLarge].Add(1)
		case bytes.HasPrefix(b, []byte("HTTP/1.1 4")), bytes.HasPrefix(b, []byte("HTTP/1.1 5")):
			c.of.unread[malformed].Add(1)
		}
	}
	return c.TCPConn.Write(b) //nolint:wrapcheck // it is that connection
}

// Close implements net.Conn.
func (c *clientConn) Close() error {
	c.closed.Do(func() { c.of.open.Add(-1) })
	return c.TCPConn.Close() //nolint:wrapcheck // it is that connection
}

// LocalAddr implements net.Conn.
func (c *clientConn) LocalAddr() net.Addr { return localAddr{c} }

// localAddr is an address that knows its connection. It is the only thing of a connection that net/http puts into the context
// of a request by itself; http.Server.ConnContext would do so too, but with that the engine could not take polls away from the
// server.
type localAddr struct{ conn *clientConn }

// Network implements net.Addr.
func (a localAddr) Network() string { return a.conn.TCPConn.LocalAddr().Network() }

// String implements net.Addr.
func (a localAddr) String() string { return a.conn.TCPConn.LocalAddr().String() }

// follow is the http.Server.ConnState of connections: the server begins to wait for a request.
func follow(conn net.Conn, state http.ConnState) {
	a, ok := conn.LocalAddr().(localAddr)
	if !ok {
		return
	}
	switch state {
	case http.StateNew: // or back from the engine
		a.conn.phase.Store(awaited)
	case http.StateIdle:
		a.conn.phase.Store(answered)
	case http.StateActive, http.StateHijacked, http.StateClosed: // Active comes with requests that cannot be read, too
	}
}

// taken notes that the handler has the request.
func taken(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(localAddr); ok {
			a.conn.phase.Store(handled)
		}
		h.ServeHTTP(w, r)
	})
}
