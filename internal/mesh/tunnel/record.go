package tunnel

import (
	"encoding/binary"
	"errors"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// The body of every record begins with the stream (see wire.KindStreamOpen):
//
//	number << 1 | sent by the side that accepted it, uvarint | head, bytes, reason, or credit as a uvarint
//
// Numbers begin at 1 and are never used again in the life of an instance. A reset of number 0 is the first record of every
// link that replaces a broken one: whatever the receiver has with the sender is lost.

// key names a stream at one end: number is its opener's.
type key struct {
	peer     mesh.InstanceID
	number   uint64
	accepted bool // this end accepted it
}

// appendName appends what a record of this end begins with.
func (k key) appendName(b []byte) []byte {
	n := k.number << 1
	if k.accepted {
		n |= 1
	}
	return binary.AppendUvarint(b, n)
}

// errMalformed is a record that no tunnel sends.
var errMalformed = errors.New("malformed stream record")

// parseKey reads the beginning of a body that came from a peer.
func parseKey(from mesh.InstanceID, body []byte) (k key, rest []byte, err error) {
	name, n := binary.Uvarint(body)
	if n <= 0 {
		return key{}, nil, errMalformed
	}
	return key{peer: from, number: name >> 1, accepted: name&1 == 0}, body[n:], nil
}

// openRecord begins a stream.
func openRecord(k key, head []byte, last bool) *wire.Record {
	r := &wire.Record{Kind: wire.KindStreamOpen, Body: append(k.appendName(make([]byte, 0, len(head)+8)), head...)}
	if last {
		r.Flags = wire.FlagClose
	}
	return r
}

// maxReason is how much of a reason travels, in bytes.
const maxReason = 64

// resetRecord ends a stream; what its receiver has not read is lost.
func resetRecord(k key, reason string) *wire.Record {
	body := append(k.appendName(make([]byte, 0, 32)), reason[:min(len(reason), maxReason)]...)
	return &wire.Record{Kind: wire.KindStreamReset, Flags: wire.FlagControl, Body: body}
}

// closeRecord ends a stream of whose other direction nothing more is wanted; what was sent before may be read.
func closeRecord(k key) *wire.Record {
	r := resetRecord(k, reasonClosed)
	r.Flags |= wire.FlagClose
	return r
}

// endRecord says that nothing follows this way. It needs no room on the link.
func endRecord(k key) *wire.Record {
	return &wire.Record{Kind: wire.KindStreamData, Flags: wire.FlagControl | wire.FlagClose, Body: k.appendName(nil)}
}

func creditRecord(k key, n int) *wire.Record {
	body := binary.AppendUvarint(k.appendName(make([]byte, 0, 16)), uint64(n)) //nolint:gosec // positive
	return &wire.Record{Kind: wire.KindStreamCredit, Flags: wire.FlagControl, Body: body}
}

// parseCredit returns the bytes of a credit, more than limit as limit+1.
func parseCredit(b []byte, limit int) (int, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || size != len(b) || n == 0 {
		return 0, errMalformed
	}
	return int(min(n, uint64(limit)+1)), nil //nolint:gosec // bounded
}

// The reasons of resets that this package gives by itself.
const (
	reasonClosed   = "closed"
	reasonUnknown  = "unknown stream"
	reasonTooMany  = "too many streams"
	reasonShutDown = "shut down"
	reasonLost     = "link broken"
	reasonCut      = "closed in the middle of a write"
	reasonWindow   = "window exceeded"
	reasonBehind   = "bytes behind the end"
)
