package engine

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// The stream between a relay and the owner of a session, for one WebSocket. The relay first
// sends one byte, 1 if the 101 agreed on permessage-deflate and else 0, and then what the
// client sends, as it comes. The owner sends chunks until it is decided where the session
// lives:
//
//	'd' length(uvarint) bytes        for the client
//	's'                              the session stays: from now on only bytes for the client
//	'm' length(uvarint) state        it moves, and the stream ends: state is consumed(uvarint),
//	                                 how many of the client's bytes the owner has made use of,
//	                                 and then the JSON of movedSession
const (
	chunkData  = 'd'
	chunkStay  = 's'
	chunkMoved = 'm'
)

// relayTimeout bounds the wait for the other end in what is a matter of milliseconds.
const relayTimeout = 10 * time.Second

// relayedConn is a client's connection at the owner of its session.
type relayedConn struct {
	net.Conn
	received int64 // bytes of the client; owned by the reader

	mu    sync.Mutex
	plain bool // no chunks any more; guarded by mu
}

// newRelayedConn waits for the first byte of the stream.
func newRelayedConn(conn net.Conn) (c *relayedConn, deflate bool, err error) {
	var first [1]byte
	if err := conn.SetReadDeadline(time.Now().Add(relayTimeout)); err != nil {
		return nil, false, fmt.Errorf("set read deadline: %w", err)
	}
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		return nil, false, fmt.Errorf("wait for the relay: %w", err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, false, fmt.Errorf("set read deadline: %w", err)
	}
	return &relayedConn{Conn: conn}, first[0] == 1, nil
}

// Read implements net.Conn.
func (c *relayedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received += int64(n)
	return n, err //nolint:wrapcheck // an io.Reader's own
}

// Write implements net.Conn.
func (c *relayedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plain {
		return c.Conn.Write(p) //nolint:wrapcheck // an io.Writer's own
	}
	if err := c.chunkLocked(chunkData, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *relayedConn) chunkLocked(kind byte, p []byte) error {
	b := make([]byte, 0, 1+binary.MaxVarintLen64+len(p))
	b = append(b, kind)
	if kind != chunkStay {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	_, err := c.Conn.Write(b)
	return err //nolint:wrapcheck // as for Write
}

// stay tells the relay that the session lives here.
func (c *relayedConn) stay() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plain {
		return nil
	}
	c.plain = true
	return c.last(chunkStay, nil)
}

// move gives the session to the relay; unused is how many of the bytes read were of no use here.
func (c *relayedConn) move(state []byte, unused int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := binary.AppendUvarint(nil, uint64(c.received-int64(unused))) //nolint:gosec // not negative
	return c.last(chunkMoved, append(b, state...))
}

// last sends a chunk that no other chunk follows; mu is held.
func (c *relayedConn) last(kind byte, p []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(relayTimeout)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	return c.chunkLocked(kind, p)
}
