package link

import (
	"context"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Link is the outgoing stream of records to one instance. Safe for concurrent use.
type Link struct{ to mesh.Address }

// To returns the address of the receiver.
func (l *Link) To() mesh.Address { return l.to }

// Append encodes r behind what was appended before and returns its sequence number, counted from 1. It copies r, never
// blocks and sends nothing: Flush does. It returns ErrFull when the window has no room: records with FlagControl pass
// always, and one larger than the window passes when nothing counted is outstanding. An error that is ErrBroken is final.
func (l *Link) Append(r *wire.Record) (uint64, error) { return 0, nil }

// AppendWait is Append that waits for room until ctx ends, and flushes what is there meanwhile. Those who wait are served
// in turn, before any Append. It must not be called on the reader goroutine.
func (l *Link) AppendWait(ctx context.Context, r *wire.Record) (uint64, error) { return 0, nil }

// Flush writes what was appended. If another goroutine is writing, that one goes on and Flush returns at once.
func (l *Link) Flush() {}

// Marked returns the highest sequence number up to which the receiver has taken everything.
func (l *Link) Marked() uint64 { return 0 }

// OnMark sets what is called on the reader goroutine when Marked has advanced, before those who wait for room are woken. Set
// it right after opening.
func (l *Link) OnMark(f func(seq uint64)) {}

// OnSpace calls f once, on the reader goroutine, as soon as there is room in the window or the link has broken.
func (l *Link) OnSpace(f func()) {}

// OnBreak sets what is called once, on the reader goroutine, when the link breaks; at once if it has broken already.
func (l *Link) OnBreak(f func(err error)) {}

// Broken returns why the link broke, nil while it is whole.
func (l *Link) Broken() error { return nil }
