package engine

import (
	"crypto/tls"
	"io"
	"net"
	"syscall"
	"time"
)

// An HTTP server takes a connection that it is given back for a new one: it has little patience until the first request is
// there, and when it shuts down it waits for that. So a connection goes back when the next request has come.

// unpark has the HTTP server go on with the connection.
func (k *parked) unpark() {
	if k.last || !k.awaitRequest() {
		_ = k.conn.Close() // nothing more is wanted from it
		return
	}
	_ = k.conn.SetDeadline(time.Time{}) // fails only on a closed connection
	ln := &single{conn: withPrefix(k.conn, k.rest)}
	_ = k.server.Serve(ln) // returns at once, when it has seen that there is no other
	if ln.conn != nil {    // the server is being shut down
		_ = k.conn.Close()
	}
}

// awaitRequest waits for the next request as long as the HTTP server would. It returns false when the connection has ended, or
// should.
func (k *parked) awaitRequest() bool {
	raw := rawConn(k.conn)
	if len(k.rest) > 0 || raw == nil {
		return true
	}
	srv := k.s.srv
	if !srv.resting(k) {
		return false
	}
	defer srv.rested(k)
	idle := k.server.IdleTimeout
	if idle == 0 {
		idle = k.server.ReadTimeout
	}
	var until time.Time
	if idle > 0 {
		until = time.Now().Add(idle)
	}
	_ = k.conn.SetReadDeadline(until) // fails only on a closed connection
	return waitReadable(raw) == nil
}

// rawConn returns what is beneath a connection and its TLS, nil if that cannot be waited for.
func rawConn(conn net.Conn) syscall.RawConn {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok || !rawSupported {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// resting notes a connection between two requests, so that Close can end it; false when the server is closed already.
func (s *Server) resting(k *parked) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.idle == nil {
		s.idle = make(map[*parked]struct{})
	}
	s.idle[k] = struct{}{}
	return true
}

func (s *Server) rested(k *parked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.idle, k)
}

// single is a listener with one connection.
type single struct{ conn net.Conn }

func (l *single) Accept() (net.Conn, error) {
	conn := l.conn
	if conn == nil {
		return nil, io.EOF
	}
	l.conn = nil
	return conn, nil
}

func (l *single) Close() error { return nil }

func (l *single) Addr() net.Addr { return &net.TCPAddr{} } // nobody asks

// prefixed is a connection some of whose bytes have been read already.
type prefixed struct {
	net.Conn
	first []byte
}

// prefixedTLS is one that the HTTP server can tell as TLS.
type prefixedTLS struct {
	prefixed
	tls *tls.Conn
}

// ConnectionState is what net/http looks for.
func (p *prefixedTLS) ConnectionState() tls.ConnectionState { return p.tls.ConnectionState() }

// withPrefix returns conn with bytes to be read before its own.
func withPrefix(conn net.Conn, first []byte) net.Conn {
	if len(first) == 0 {
		return conn
	}
	p := prefixed{Conn: conn, first: first}
	if t, ok := conn.(*tls.Conn); ok {
		return &prefixedTLS{p, t}
	}
	return &p
}

// withoutPrefix returns the connection beneath, and what is to be read before its bytes.
func withoutPrefix(conn net.Conn) (beneath net.Conn, first []byte) {
	switch p := conn.(type) {
	case *prefixed:
		return p.Conn, p.first
	case *prefixedTLS:
		return p.Conn, p.first
	}
	return conn, nil
}

// Read implements net.Conn.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) == 0 {
		return p.Conn.Read(b) //nolint:wrapcheck // it is that connection
	}
	n := copy(b, p.first)
	if p.first = p.first[n:]; len(p.first) == 0 {
		p.first = nil // which may be the end of much
	}
	return n, nil
}
