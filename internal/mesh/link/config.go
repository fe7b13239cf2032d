package link

import (
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Handler takes what an endpoint receives. Its methods are called one at a time, on the endpoint's reader goroutine, and
// must not block: they run no user code and wait for no window.
type Handler interface {
	// Record takes one record. Its byte slices are views, valid during the call only. An error says that the record cannot
	// be read: it breaks the incoming link, and the peer is told.
	Record(from mesh.Address, r *wire.Record) error
	// EndFrame follows the last record of a received frame, or of several that waited together: the place to flush the links
	// those records dirtied.
	EndFrame()
	// Opened says that a new incoming link of from begins: its first, or the one after an earlier one that ended.
	Opened(from mesh.Address)
}

// Config holds the tunables of an endpoint. The zero value works.
type Config struct {
	WindowBytes   int           // unmarked bytes a link holds, encoded; default 4 MiB
	WindowRecords int           // unmarked records a link holds; default 8192
	MaxRecord     int           // largest encoded record in bytes, sent or reassembled; default 17 MiB
	ResendAfter   time.Duration // silence with records outstanding before the first resend; default 150 ms
	MarkEvery     time.Duration // longest wait of a mark for a frame to ride on; default 5 ms
	StuckAfter    time.Duration // time without progress, while connected and the peer healthy, that breaks a link; default 2 s
	Queue         int           // frames that wait to be read before the bus drops new ones; default 16384

	// Healthy reports whether the heartbeats of an instance arrive, and our own probe too; the clock of StuckAfter stands still
	// while it does not. nil means always. Called from the endpoint's ticker.
	Healthy func(mesh.InstanceID) bool
	// NoResponders is told, on the reader goroutine, that nobody subscribes where an instance should be, and says whether it is known
	// to be dead: then the link to it breaks with ErrPeerDead, as one does that was opened while it died. It must not block.
	NoResponders func(mesh.InstanceID) (dead bool)
	// Metrics counts what happens; nil counts nothing.
	Metrics *Metrics
}

func (c Config) withDefaults() Config {
	c.WindowBytes = orDefault(c.WindowBytes, 4<<20)
	c.WindowRecords = orDefault(c.WindowRecords, 8192)
	c.MaxRecord = orDefault(c.MaxRecord, 17<<20)
	c.ResendAfter = orDefault(c.ResendAfter, 150*time.Millisecond)
	c.MarkEvery = orDefault(c.MarkEvery, 5*time.Millisecond)
	c.StuckAfter = orDefault(c.StuckAfter, 2*time.Second)
	c.Queue = orDefault(c.Queue, 16384)
	if c.Healthy == nil {
		c.Healthy = func(mesh.InstanceID) bool { return true }
	}
	if c.NoResponders == nil {
		c.NoResponders = func(mesh.InstanceID) bool { return false }
	}
	if c.Metrics == nil {
		c.Metrics = &Metrics{}
	}
	return c
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
