package engine

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// errAgain is a write that the kernel would not take at once, or not all of it.
var errAgain = errors.New("engine: would block")

// netIO moves a connection's bytes. read and release are for the reader; tryWrite is
// never called while write runs; close may be called at any time and waits for nothing.
type netIO interface {
	// read waits for bytes; the buffer is lent until release.
	read() (buf *[]byte, n int, err error)
	release(buf *[]byte)
	// tryWrite writes what it can without waiting: errAgain if that was not all.
	tryWrite(b []byte) (n int, err error)
	// write writes all, within the timeout.
	write(b []byte, timeout time.Duration) error
	// wrote tells that a sequence of writes has ended.
	wrote()
	// close ends the connection, after an attempt to write a last frame if it is not nil.
	close(farewell []byte)
}

// farewellTimeout bounds that attempt where it could wait.
const farewellTimeout = 100 * time.Millisecond

// newNetIO returns the way to use conn that costs least.
func newNetIO(conn net.Conn, s *Server) netIO {
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil && rawSupported {
			return newRawIO(conn, raw, &s.bufs)
		}
	}
	p := &plainIO{conn: conn, srv: s}
	p.own = p.small[:]
	return p
}

// plainIO is any net.Conn: TLS, or a pipe. It waits with a tiny buffer of its own, and goes on with a lent one while that
// comes back full. Every write is done by the flushing goroutine, since it might wait.
type plainIO struct {
	conn  net.Conn
	srv   *Server
	own   []byte // owned by the reader, as are the next two: a slice of small
	more  bool   // there may be more than fitted
	small [plainBuffer]byte
}

// plainBuffer is the size of that buffer: the beginning of a frame without any of its payload, which would have to be copied.
const plainBuffer = 2

func (p *plainIO) read() (*[]byte, int, error) {
	buf := &p.own
	if p.more {
		buf = p.srv.bufs.get()
	}
	n, err := p.conn.Read(*buf)
	p.more = n == len(*buf)
	if n == 0 && err != nil {
		p.release(buf)
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	return buf, n, nil // an error will be there again
}

func (p *plainIO) release(buf *[]byte) {
	if buf != &p.own {
		p.srv.bufs.put(buf)
	}
}

func (p *plainIO) tryWrite([]byte) (int, error) { return 0, errAgain }

func (p *plainIO) write(b []byte, timeout time.Duration) error {
	return writeWithin(p.conn, b, timeout)
}

func (p *plainIO) wrote() {}

// close does not wait for the frame, nor for a TLS close alert, to be written.
func (p *plainIO) close(farewell []byte) {
	p.srv.track.spawn(func() { // ends within farewellTimeout and 5 s for the alert; Server.Close waits
		if farewell != nil {
			_ = writeWithin(p.conn, farewell, farewellTimeout) // the peer may be gone
		}
		_ = p.conn.Close() // nothing more is wanted from it
	})
}

func writeWithin(conn net.Conn, b []byte, timeout time.Duration) error {
	if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
