package engine

import (
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Compression. All of it is raw deflate (RFC 1951) at the fastest level, in memory:
//
//	WebSocket message   deflate, flushed, without the flush's 00 00 ff ff (RFC 7692)
//	gzip                1f 8b 08 00 00000000 00 ff | deflate | CRC-32 LE | length LE (RFC 1952)
//	deflate             78 01 | deflate | Adler-32 BE (RFC 1950)
//
// A compressor weighs more than a megabyte: at most one for each processor is at work, and
// none belongs to a session.
type compressor struct {
	slots     chan struct{} // holds one item for each writer at work
	writers   sync.Pool     // *flate.Writer
	inflaters sync.Pool     // *inflater
}

// deflateTail is what a sender leaves out at the end of a message.
const deflateTail = "\x00\x00\xff\xff"

func newCompressor() *compressor {
	return &compressor{slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// appender is a writer to memory.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// deflate appends data to b in deflate, ended by either Flush or Close of the writer. It
// waits for a compressor, that is for others to compress what they have in memory.
func (c *compressor) deflate(b, data []byte, end func(*flate.Writer) error) ([]byte, error) {
	c.slots <- struct{}{}
	defer func() { <-c.slots }()
	out := &appender{b}
	w, ok := c.writers.Get().(*flate.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = flate.NewWriter(out, flate.BestSpeed); err != nil {
			return b, fmt.Errorf("make a compressor: %w", err)
		}
	}
	if _, err := w.Write(data); err != nil {
		return b, fmt.Errorf("compress: %w", err)
	}
	if err := end(w); err != nil {
		return b, fmt.Errorf("compress: %w", err)
	}
	w.Reset(io.Discard) // do not hold out
	c.writers.Put(w)
	return out.b, nil
}

// message appends what stands for data in a compressed WebSocket message.
func (c *compressor) message(b, data []byte) ([]byte, error) {
	out, err := c.deflate(b, data, (*flate.Writer).Flush)
	if err != nil || !strings.HasSuffix(string(out[max(0, len(out)-len(deflateTail)):]), deflateTail) {
		return b, errors.Join(err, errMalformed)
	}
	return out[:len(out)-len(deflateTail)], nil
}

// body appends data in a content coding.
func (c *compressor) body(b []byte, coding string, data []byte) ([]byte, error) {
	if coding == codingGzip {
		b = append(b, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"...)
	} else {
		b = append(b, "\x78\x01"...)
	}
	b, err := c.deflate(b, data, (*flate.Writer).Close)
	if err != nil {
		return nil, err
	}
	if coding == codingGzip {
		b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(data))
		return binary.LittleEndian.AppendUint32(b, uint32(len(data))), nil
	}
	return binary.BigEndian.AppendUint32(b, adler32.Checksum(data)), nil
}

// inflater decompresses one message at a time.
type inflater struct {
	src deflated
	r   io.Reader // of src; a flate.Resetter
}

// inflate appends to b what a compressed message stands for. More than limit bytes of it are
// errMessageTooBig: the rest is not looked at.
func (c *compressor) inflate(b, message []byte, limit int64) ([]byte, error) {
	in, ok := c.inflaters.Get().(*inflater)
	if !ok {
		in = &inflater{}
		in.r = flate.NewReader(&in.src)
	}
	defer c.inflaters.Put(in)
	in.src = deflated{message, deflateTail + "\x01\x00\x00\xff\xff"} // an empty last block ends it
	defer func() { in.src = deflated{} }()                           // do not hold the message
	if r, ok := in.r.(flate.Resetter); ok {
		if err := r.Reset(&in.src, nil); err != nil {
			return b, fmt.Errorf("%w: %w", errNotDeflate, err)
		}
	}
	start := len(b)
	for {
		b = slices.Grow(b, 1)
		n, err := in.r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)-start) > limit:
			return b[:start], errMessageTooBig
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b[:start], fmt.Errorf("%w: %w", errNotDeflate, err)
		}
	}
}

// deflated reads a message and the tail that its sender has left out.
type deflated struct {
	rest []byte
	tail string
}

func (d *deflated) Read(p []byte) (int, error) {
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	m := copy(p[n:], d.tail)
	d.tail = d.tail[m:]
	if n+m == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n + m, nil
}

// ReadByte spares flate a buffer of its own.
func (d *deflated) ReadByte() (byte, error) {
	var b [1]byte
	if n, err := d.Read(b[:]); n == 0 {
		return 0, err
	}
	return b[0], nil
}
