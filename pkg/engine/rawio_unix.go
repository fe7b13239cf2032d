//go:build unix

package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const rawSupported = true

// rawIO is a connection with a descriptor: its reader waits in the runtime's poller
// without a buffer, and writes are tried on the sender's goroutine.
type rawIO struct {
	conn net.Conn
	raw  syscall.RawConn
	bufs *bufferPools

	readFn func(fd uintptr) bool // these are made once, so that a call allocates nothing
	rbuf   *[]byte               // owned by the reader
	rn     int                   // owned by the reader
	rerr   error                 // owned by the reader

	writeFn func(fd uintptr) bool
	wbuf    []byte // this and below guarded by wsConn.mu
	wn      int
	werr    error
}

func newRawIO(conn net.Conn, raw syscall.RawConn, bufs *bufferPools) netIO {
	r := &rawIO{conn: conn, raw: raw, bufs: bufs}
	r.readFn, r.writeFn = r.readReady, r.writeNow
	return r
}

func (r *rawIO) read() (*[]byte, int, error) {
	err := r.raw.Read(r.readFn)
	buf := r.rbuf
	r.rbuf = nil
	if err == nil {
		err = r.rerr
	}
	if err != nil {
		if buf != nil {
			r.bufs.put(buf)
		}
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	return buf, r.rn, nil
}

// readReady reads once, and gives the buffer back if there was nothing.
func (r *rawIO) readReady(fd uintptr) bool {
	r.rbuf = r.bufs.get()
	for {
		n, err := syscall.Read(int(fd), *r.rbuf)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			r.bufs.put(r.rbuf)
			r.rbuf = nil
			return false
		case err != nil:
			r.rn, r.rerr = 0, os.NewSyscallError("read", err)
		case n == 0:
			r.rn, r.rerr = 0, io.EOF
		default:
			r.rn, r.rerr = n, nil
		}
		return true
	}
}

func (r *rawIO) release(buf *[]byte) { r.bufs.put(buf) }

func (r *rawIO) tryWrite(b []byte) (int, error) {
	r.wbuf, r.wn, r.werr = b, 0, nil
	err := r.raw.Write(r.writeFn)
	r.wbuf = nil
	if err == nil {
		err = r.werr
	}
	if err == nil && r.wn < len(b) {
		return r.wn, errAgain
	}
	return r.wn, err
}

// writeNow writes once; it never asks to wait.
func (r *rawIO) writeNow(fd uintptr) bool {
	for {
		n, err := writeFD(int(fd), r.wbuf)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
		case err != nil:
			r.werr = os.NewSyscallError("write", err)
		default:
			r.wn = n
		}
		return true
	}
}

func (r *rawIO) write(b []byte, timeout time.Duration) error { return writeWithin(r.conn, b, timeout) }

// wrote removes the deadline of the last write, which would make tryWrite fail.
func (r *rawIO) wrote() { _ = r.conn.SetWriteDeadline(time.Time{}) } // fails only on a closed connection

func (r *rawIO) close(farewell []byte) {
	if farewell != nil {
		_, _ = r.tryWrite(farewell) // the peer may be gone
	}
	_ = r.conn.Close() // nothing more is wanted from it
}

// waitReadable waits until there is something to be read, and leaves it there. The end of the connection, or of its read
// deadline, is an error.
func waitReadable(raw syscall.RawConn) error {
	var first [1]byte
	var n int
	var err error
	waited := raw.Read(func(fd uintptr) bool {
		for {
			n, _, err = syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK)
			if !errors.Is(err, syscall.EINTR) {
				return !errors.Is(err, syscall.EAGAIN)
			}
		}
	})
	switch {
	case waited != nil:
		return fmt.Errorf("wait for bytes: %w", waited)
	case err != nil:
		return fmt.Errorf("wait for bytes: %w", os.NewSyscallError("recvfrom", err))
	case n == 0:
		return io.EOF
	}
	return nil
}
