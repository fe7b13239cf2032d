package tunnel

import (
	"errors"
	"sync/atomic"
)

// Errors of streams.
var (
	// ErrPeerLost says that the other instance is dead, or that a link with it broke.
	ErrPeerLost = errors.New("tunnel: peer lost")
	// ErrReset says that the other end has no use for the stream any more; the reason is added.
	ErrReset = errors.New("tunnel: stream reset")
	// ErrClosed says that the stream, or the mux, was closed at this end.
	ErrClosed = errors.New("tunnel: closed")
	// ErrTooMany says that there are Config.MaxStreams with that peer.
	ErrTooMany = errors.New("tunnel: too many streams")
)

// Config tunes a mux; the zero value works.
type Config struct {
	Window     int // bytes of a stream, each way, that its reader has not read, default 256 KiB; the same at all instances
	Chunk      int // largest piece of a stream in one record, default 64 KiB
	MaxStreams int // with one peer, in each direction, default 16 384
	Metrics    *Metrics
}

// Metrics counts what a mux does. The zero value is ready; safe for concurrent use.
type Metrics struct {
	Open     atomic.Int64  // streams now
	Opened   atomic.Uint64 // by this end
	Accepted atomic.Uint64
	Resets   atomic.Uint64 // streams ended by the other end, before their time
	Lost     atomic.Uint64 // streams ended by the loss of the peer
	Refused  atomic.Uint64 // streams too many, and streams whose sender did not keep to the window
}

func (c Config) withDefaults() Config {
	if c.Window <= 0 {
		c.Window = 256 << 10
	}
	if c.Chunk <= 0 {
		c.Chunk = 64 << 10
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = 16 << 10
	}
	if c.Metrics == nil {
		c.Metrics = &Metrics{}
	}
	return c
}
