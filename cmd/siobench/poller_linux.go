package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	lentBuffer  = 64 << 10
	readyAtOnce = 128

	edgeTriggered = 1 << 31                // EPOLLET, which package syscall has as a negative number
	silenceStep   = 100 * time.Millisecond // how late a silence may be noticed

	// timeSlice is less than what the runtime grants (10 ms). From who has had more it tries to take the processor, again and
	// again, every 20 µs: that was 4 % of this program's CPU time.
	timeSlice = 5 * time.Millisecond
)

// poller reads many connections by one goroutine: an epoll instance of its own tells which of them have something, and one
// read into one buffer gets it. A goroutine for each would be woken for every message, and read a second time to learn that
// there is nothing else: more CPU time than the server needs to send it, on the cores that the server needs.
type poller struct {
	epoll   int
	stop    [2]int // a pipe, whose end ends the goroutine
	reading sync.WaitGroup

	mu       sync.Mutex
	conns    []*polledConn // by descriptor; guarded by mu
	earliest int64         // none of them is silent for too long before that; guarded by mu
}

// newPoller starts a poller, to be closed after its connections.
func newPoller() (*poller, error) {
	p := &poller{earliest: math.MaxInt64}
	if err := syscall.Pipe2(p.stop[:], syscall.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	var err error
	if p.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err == nil {
		if err = p.watch(p.stop[0]); err == nil {
			p.reading.Go(p.run) // close waits for it
			return p, nil
		}
		closeFDs(p.epoll)
	}
	closeFDs(p.stop[:]...)
	return nil, os.NewSyscallError("epoll", err)
}

// close ends the goroutine and waits for it.
func (p *poller) close() {
	if p == nil {
		return
	}
	closeFDs(p.stop[1])
	p.reading.Wait()
	closeFDs(p.stop[0], p.epoll)
}

func closeFDs(fds ...int) {
	for _, fd := range fds {
		_ = syscall.Close(fd) // nothing was written to it
	}
}

// add makes the poller the reader of an established connection, unless there is no poller or the connection is not plain
// TCP.
func (p *poller) add(c *wsClient) (added bool, err error) {
	tcp, ok := c.conn.(*net.TCPConn)
	if p == nil || !ok {
		return false, nil
	}
	fd, err := detach(tcp)
	if err != nil {
		return false, fmt.Errorf("take the connection from Go's poller: %w", err)
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	pc := &polledConn{poller: p, client: c, fd: fd, silentAt: nanos() + int64(c.silence)}
	c.conn = pc
	if err := c.drain(nanos()); err != nil { // what came along with the handshake
		return false, err
	}
	c.in.giveBack()
	p.remember(pc)
	if err := p.watch(fd); err != nil {
		return false, os.NewSyscallError("epoll_ctl", err)
	}
	return true, nil
}

// detach leaves of a connection nothing but a descriptor that Go's poller knows nothing of.
func detach(tcp *net.TCPConn) (fd int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dup uintptr
	var errno syscall.Errno
	if err := raw.Control(func(original uintptr) {
		dup, _, errno = syscall.Syscall(syscall.SYS_FCNTL, original, syscall.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, err
	}
	if errno != 0 {
		return -1, os.NewSyscallError("fcntl", errno)
	}
	if err := tcp.Close(); err != nil {
		closeFDs(int(dup))
		return -1, err
	}
	return int(dup), nil
}

func (p *poller) watch(fd int) error {
	return syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | edgeTriggered, Fd: int32(fd)})
}

func (p *poller) remember(pc *polledConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if more := pc.fd + 1 - len(p.conns); more > 0 {
		p.conns = append(p.conns, make([]*polledConn, more)...)
	}
	p.conns[pc.fd] = pc
	p.earliest = min(p.earliest, pc.silentAt)
}

func (p *poller) run() {
	ready := make([]syscall.EpollEvent, readyAtOnce)
	buf := make([]byte, lentBuffer)
	yielded := nanos()
	for {
		n, err := syscall.EpollWait(p.epoll, ready, int(silenceStep/time.Millisecond))
		if err != nil && !errors.Is(err, syscall.EINTR) {
			for _, pc := range p.silent(math.MaxInt64) {
				pc.fail(os.NewSyscallError("epoll_wait", err))
			}
			return
		}
		for _, e := range ready[:max(n, 0)] {
			if int(e.Fd) == p.stop[0] {
				return
			}
			if pc := p.conn(int(e.Fd)); pc != nil {
				pc.receive(buf, e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0)
			}
		}
		now := nanos()
		for _, pc := range p.silent(now) {
			pc.fail(pc.client.tooSilent())
		}
		if now-yielded > int64(timeSlice) {
			runtime.Gosched()
			yielded = now
		}
	}
}

// conn returns the connection that has the descriptor now: not the one that had the event, perhaps, but reading it is no
// error.
func (p *poller) conn(fd int) *polledConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[fd]
}

// silent returns the connections that should have had something to read before now.
func (p *poller) silent(now int64) (late []*polledConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now < p.earliest {
		return nil
	}
	p.earliest = math.MaxInt64
	for _, pc := range p.conns {
		switch {
		case pc == nil:
		case pc.silentAt <= now:
			late = append(late, pc)
		default:
			p.earliest = min(p.earliest, pc.silentAt)
		}
	}
	return late
}

// polledConn is the connection of a client that a poller reads. It never blocks.
type polledConn struct {
	poller   *poller
	client   *wsClient
	silentAt int64 // owned by the poller's goroutine once it knows the connection

	mu sync.Mutex // guards fd; whoever has the client's turn may read it without
	fd int        // -1 once closed
}

// receive reads, as a rule once, and runs the handlers. The buffer is lent. The kernel tells of what comes, not of what is
// left: a read that filled the buffer is followed by another, and once the server has closed all are, up to the end.
func (pc *polledConn) receive(buf []byte, closed bool) {
	c := pc.client
	c.turn.Lock()
	defer c.turn.Unlock()
	for more := pc.fd >= 0; more; {
		c.in.borrow(buf)
		err := c.in.fill(pc)
		if errors.Is(err, syscall.EAGAIN) {
			c.in.giveBack()
			return
		}
		more = closed || c.in.full()
		if err == nil {
			err = c.drain(nanos())
		}
		if err != nil {
			c.end(err)
			return
		}
		c.in.giveBack()
	}
}

func (pc *polledConn) fail(err error) {
	pc.client.turn.Lock()
	defer pc.client.turn.Unlock()
	if pc.fd >= 0 {
		pc.client.end(err)
	}
}

// Read is called with the client's turn.
func (pc *polledConn) Read(b []byte) (int, error) {
	for {
		n, err := syscall.Read(pc.fd, b)
		switch {
		case n == 0 && err == nil:
			return 0, io.EOF
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		default:
			return n, nil
		}
	}
}

// Write fails rather than wait: a client that has a poller sends a few bytes now and then, and one that cannot has a server
// that reads nothing.
func (pc *polledConn) Write(b []byte) (int, error) {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	if pc.fd < 0 {
		return 0, net.ErrClosed
	}
	n, err := syscall.Write(pc.fd, b)
	if err == nil && n < len(b) {
		err = syscall.EAGAIN
	}
	return max(n, 0), os.NewSyscallError("write", err)
}

// SetReadDeadline is called on the poller's goroutine.
func (pc *polledConn) SetReadDeadline(t time.Time) error {
	pc.silentAt = nanos() + int64(time.Until(t))
	return nil
}

// SetWriteDeadline does nothing, as writing does not block.
func (pc *polledConn) SetWriteDeadline(time.Time) error { return nil }

// Close is called with the client's turn.
func (pc *polledConn) Close() error {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	if pc.fd < 0 {
		return net.ErrClosed
	}
	pc.poller.forget(pc)
	fd := pc.fd
	pc.fd = -1
	return os.NewSyscallError("close", syscall.Close(fd))
}

func (p *poller) forget(pc *polledConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pc.fd < len(p.conns) && p.conns[pc.fd] == pc {
		p.conns[pc.fd] = nil
	}
}
