package engine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxUndecided = 64 << 10 // bytes of a client that its relay keeps until the session's place is decided
	maxChunk     = 64 << 20 // a larger one is not read
	relayBuffer  = 4 << 10  // at a time
)

// relayPipe passes the bytes of a client's WebSocket to the session's owner and back.
type relayPipe struct {
	srv     *Server
	client  net.Conn
	owner   net.Conn
	deflate bool

	kept    []byte        // what the client has sent, unless the session stays; owned by toOwner, then by run
	staying atomic.Bool   // the session stays with its owner
	decided chan struct{} // closed when that is decided, either way
}

// RelayUpgrade sends the 101 to a client whose session's owner wants its WebSocket, and
// passes bytes between the two from then on, in goroutines of this server; owner belongs to
// them. If the session moves here, it goes on as one of this server's own.
func (s *Server) RelayUpgrade(w http.ResponseWriter, r *http.Request, owner net.Conn) error {
	s.userHeaders(w.Header(), r)
	u := switchingOf(w)
	if u == nil {
		return errors.New("not a request for WebSocket")
	}
	client, err := u.take()
	if err != nil {
		return err
	}
	p := &relayPipe{srv: s, client: client, owner: owner, deflate: u.deflate, decided: make(chan struct{})}
	first := append([]byte{0}, u.first...)
	if u.deflate {
		first[0] = 1
	}
	p.kept = append(p.kept, u.first...)
	if err := writeWithin(owner, first, relayTimeout); err != nil {
		_ = client.Close() // there is nothing to say
		return fmt.Errorf("begin stream: %w", err)
	}
	if err := owner.SetWriteDeadline(time.Time{}); err != nil {
		_ = client.Close()
		return fmt.Errorf("set write deadline: %w", err)
	}
	if !s.relaying(p) {
		p.cut()
		return ErrClosed
	}
	s.track.spawn(p.run) // ends with either connection; Server.Close cuts them and waits
	return nil
}

// cut ends the pipe from outside.
func (p *relayPipe) cut() {
	_ = p.client.Close() // both are thrown away
	_ = p.owner.Close()
}

// run passes bytes until one side ends or the session moves here.
func (p *relayPipe) run() {
	up := make(chan struct{})
	p.srv.track.spawn(func() { defer close(up); p.toOwner() }) // waited for below
	state, err := p.toClient()
	if err != nil || state == nil {
		p.cut()
		<-up
		p.srv.relayed(p)
		return
	}
	_ = p.client.SetReadDeadline(time.Unix(1, 0)) // wakes toOwner; it cannot fail on an open connection
	_ = p.owner.Close()
	<-up
	p.srv.relayed(p)
	if err := p.adopt(state); err != nil {
		p.srv.cfg.Log.Debug("session not adopted")
		_ = p.client.Close() // the client comes back
	}
}

// adopt makes the session one of this server.
func (p *relayPipe) adopt(state []byte) error {
	consumed, n := binary.Uvarint(state)
	if n <= 0 || consumed > uint64(len(p.kept)) {
		return errMalformed
	}
	if err := p.client.SetDeadline(time.Time{}); err != nil { // the write deadline of patientWriter too
		return fmt.Errorf("reset deadlines: %w", err)
	}
	return p.srv.adopt(p.client, p.deflate, p.kept[consumed:], state[n:])
}

// toOwner passes what the client sends, and keeps a copy until it is decided who gets it.
func (p *relayPipe) toOwner() {
	buf := make([]byte, relayBuffer)
	for {
		n, err := p.client.Read(buf)
		if n > 0 {
			p.keep(buf[:n])
			if _, err := p.owner.Write(buf[:n]); err != nil {
				return // toClient hears of it
			}
		}
		if err != nil {
			if c, ok := p.owner.(interface{ CloseWrite() error }); ok {
				_ = c.CloseWrite() // the owner ends the session and the stream
			} else {
				_ = p.owner.Close()
			}
			return
		}
	}
}

// keep copies bytes of the client unless the session stays, and waits for the decision when
// there are too many.
func (p *relayPipe) keep(b []byte) {
	if p.staying.Load() {
		p.kept = nil
		return
	}
	if p.kept = append(p.kept, b...); len(p.kept) >= maxUndecided {
		<-p.decided // toClient ends with it, whatever happens
	}
}

// toClient passes what the owner sends. It returns the state of the session if that moves here.
func (p *relayPipe) toClient() (moved []byte, err error) {
	decide := sync.OnceFunc(func() { close(p.decided) })
	defer decide()
	in := bufio.NewReaderSize(p.owner, relayBuffer)
	to := struct{ io.Writer }{patientWriter{p.client, p.srv.cfg.PingInterval + p.srv.cfg.PingTimeout}}
	for {
		kind, err := in.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("read chunk: %w", err)
		}
		if kind == chunkStay {
			break
		}
		length, err := binary.ReadUvarint(in)
		if err != nil || length > maxChunk {
			return nil, fmt.Errorf("chunk of %d bytes: %w", length, errors.Join(err, errMalformed))
		}
		switch kind {
		case chunkData:
			if _, err := io.CopyN(to, in, int64(length)); err != nil { //nolint:gosec // bounded above
				return nil, fmt.Errorf("pass chunk: %w", err)
			}
		case chunkMoved:
			state, err := io.ReadAll(io.LimitReader(in, int64(length))) //nolint:gosec // bounded above
			if err != nil || uint64(len(state)) < length {
				return nil, fmt.Errorf("read state: %w", errors.Join(err, errMalformed))
			}
			return state, nil
		default:
			return nil, fmt.Errorf("chunk kind %d: %w", kind, errMalformed)
		}
	}
	p.staying.Store(true)
	decide()
	_, err = io.Copy(to, in)
	return nil, err //nolint:wrapcheck // the pipe ends, whichever way
}

// patientWriter writes to a connection, each piece within a timeout.
type patientWriter struct {
	net.Conn
	timeout time.Duration
}

// Write implements io.Writer.
func (w patientWriter) Write(b []byte) (int, error) {
	if err := writeWithin(w.Conn, b, w.timeout); err != nil {
		return 0, err
	}
	return len(b), nil
}

// relaying notes a pipe, so that Close can cut it; false when the server is closed already.
func (s *Server) relaying(p *relayPipe) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.pipes == nil {
		s.pipes = make(map[*relayPipe]struct{})
	}
	s.pipes[p] = struct{}{}
	return true
}

func (s *Server) relayed(p *relayPipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pipes, p)
}
