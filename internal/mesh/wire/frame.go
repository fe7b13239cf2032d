package wire

import (
	"encoding/binary"
	"math"

	"github.com/siomesh/siomesh/internal/mesh"
)

// A frame is one message of a bus: the records of one link that travel together, or a mark or break alone. The numbers of
// its header have fixed sizes (big endian) so that the mark can be written into an encoded frame each time it is sent.
//
//	offset  0  version u8        1
//	        1  kind u8           1 data, 2 mark, 3 break
//	        2  flags u8          bit 0: gap; the others 0
//	        3  sender            10 bytes, instance id
//	       13  link u32          number of the sender's link, from 1; 0 in a mark
//	       17  first u64         sequence of the first record, from 1; 0 without records
//	       25  mark link u32     number of the receiver's link that is marked; 0: none
//	       29  mark seq u64      its records up to this one have been taken
//	       37  lease u64         lease number of the sending edge, otherwise 0
//	       45  count u16         records that follow
//	       47  records           kind break: reason, plain text, at most 256 bytes

// Version is the format version that this package reads and writes.
const Version = 1

// HeaderLen is the size of a frame before its records.
const HeaderLen = 47

// MaxReason is the longest reason of a break in bytes.
const MaxReason = 256

// FrameKind says what a frame is for.
type FrameKind uint8

// The kinds of frames.
const (
	FrameData  FrameKind = 1 // records of the sender's link, and perhaps a mark
	FrameMark  FrameKind = 2 // a mark that found no data to ride on
	FrameBreak FrameKind = 3 // the sender ended its own link (Link), or refuses the receiver's (Mark.Link)
)

const flagGap = 1

// Mark tells the sender of a link what the receiver has taken.
type Mark struct {
	Link uint32 // number of the link, 0 for no mark
	Seq  uint64 // every record up to this one was taken
	Gap  bool   // records after Seq are missing: send again
}

// Frame is a decoded frame; its records are read with Next.
type Frame struct {
	Kind    FrameKind
	Sender  mesh.InstanceID
	Link    uint32
	First   uint64
	Mark    Mark
	Lease   uint64
	Count   int    // records that are left
	Records []byte // the encoded records that are left, or the reason of a break
}

// PutHeader writes the header into the first HeaderLen bytes of b.
func (f *Frame) PutHeader(b []byte) {
	b = b[:HeaderLen]
	b[0], b[1], b[2] = Version, byte(f.Kind), 0
	copy(b[3:13], f.Sender[:])
	binary.BigEndian.PutUint32(b[13:], f.Link)
	binary.BigEndian.PutUint64(b[17:], f.First)
	binary.BigEndian.PutUint32(b[25:], f.Mark.Link)
	binary.BigEndian.PutUint64(b[29:], f.Mark.Seq)
	binary.BigEndian.PutUint64(b[37:], f.Lease)
	binary.BigEndian.PutUint16(b[45:], uint16(f.Count))
	if f.Mark.Gap {
		b[2] = flagGap
	}
}

// Append appends the encoded frame to dst.
func (f *Frame) Append(dst []byte) []byte {
	var header [HeaderLen]byte
	f.PutHeader(header[:])
	return append(append(dst, header[:]...), f.Records...)
}

// ParseFrame reads a frame that fills b, of which Records is a view. The records are checked by Next.
func ParseFrame(b []byte) (Frame, error) {
	if len(b) < HeaderLen {
		return Frame{}, malformed("frame header")
	}
	if b[0] != Version {
		return Frame{}, malformed("frame version")
	}
	f := Frame{
		Kind:   FrameKind(b[1]),
		Sender: mesh.InstanceID(b[3:]),
		Link:   binary.BigEndian.Uint32(b[13:]),
		First:  binary.BigEndian.Uint64(b[17:]),
		Mark: Mark{
			Link: binary.BigEndian.Uint32(b[25:]),
			Seq:  binary.BigEndian.Uint64(b[29:]),
			Gap:  b[2] == flagGap,
		},
		Lease:   binary.BigEndian.Uint64(b[37:]),
		Count:   int(binary.BigEndian.Uint16(b[45:])),
		Records: b[HeaderLen:],
	}
	if b[2] > flagGap || !f.Sender.Valid() || f.Mark.Link == 0 && (f.Mark.Seq != 0 || f.Mark.Gap) {
		return Frame{}, malformed("frame header")
	}
	if err := f.check(); err != nil {
		return Frame{}, err
	}
	return f, nil
}

// check refuses a frame whose fields do not fit its kind.
func (f *Frame) check() error {
	ok := false
	switch f.Kind {
	case FrameData:
		ok = f.Link != 0 && f.First != 0 && f.Count != 0 && f.First <= math.MaxUint64-uint64(f.Count)
	case FrameMark:
		ok = f.Link == 0 && f.First == 0 && f.Mark.Link != 0 && f.Count == 0 && len(f.Records) == 0
	case FrameBreak:
		ok = f.First == 0 && (f.Link != 0 || f.Mark.Link != 0) && f.Count == 0 && len(f.Records) <= MaxReason
	}
	if !ok {
		return malformed("frame")
	}
	return nil
}

// Next reads the next record into r and reports whether there was one. At the end, bytes that follow the last record are an
// error.
func (f *Frame) Next(r *Record) (bool, error) {
	if f.Count == 0 {
		if len(f.Records) > 0 {
			return false, malformed("bytes after the last record")
		}
		return false, nil
	}
	rest, err := r.Parse(f.Records)
	if err != nil {
		return false, err
	}
	f.Records = rest
	f.Count--
	return true, nil
}
