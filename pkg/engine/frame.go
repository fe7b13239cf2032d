package engine

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// A frame of a client (RFC 6455 section 5.2), all integers big-endian:
//
//	FIN(1) RSV(3) opcode(4) | MASK(1)=1 length(7) | [length 16 or 64] | mask 32 | payload
//
// length 126: 16 bits follow; 127: 64 bits follow, the first of which is 0.

// rsv1 is the first of the three reserved bits.
const rsv1 = 4

// Errors of a client that ends its connection by them; each has a close code.
var (
	errMessageTooBig = errors.New("max payload size exceeded")
	errNotUTF8       = errors.New("invalid UTF-8 sequence")
	errFrameLength   = errors.New("invalid frame length")
	errNotDeflate    = errors.New("invalid compressed data")
)

// closeCode returns the WebSocket close code for an error of frameReader.
func closeCode(err error) ws.StatusCode {
	switch {
	case errors.Is(err, errMessageTooBig):
		return ws.StatusMessageTooBig
	case errors.Is(err, errNotUTF8), errors.Is(err, errNotDeflate):
		return ws.StatusInvalidFramePayloadData
	default:
		return ws.StatusProtocolError
	}
}

// frame is what frameReader found: a whole message (text or binary, defragmented) or a
// control frame; the zero value is nothing yet.
type frame struct {
	payload    []byte // unmasked; valid until the buffer given to next is used again
	found      bool
	compressed bool // the payload is, and text has not been checked to be UTF-8
	op         ws.OpCode
}

// frameReader cuts a byte stream into frames and joins fragmented messages. It is fed
// pieces of any size and keeps only what is incomplete: nothing between messages. What it
// keeps is bounded by limit however many fragments there are, and grows with the bytes
// that came, not with the length that was announced.
type frameReader struct {
	limit   int64 // of a message
	deflate bool  // permessage-deflate was agreed on: RSV1 marks the first frame of a compressed message

	headLen uint8 // bytes of an incomplete header, in head
	head    [ws.MaxHeaderSize]byte
	inFrame bool      // the header is complete, payload is expected
	header  ws.Header // of the present frame; Length is what is still to come
	maskPos int
	skip    int64 // bytes of a frame too big to be taken that are still to come

	msgOp   ws.OpCode // of the message being joined; 0 = none
	msg     []byte    // its payload so far
	zipped  bool      // it is compressed
	control []byte    // payload so far of a split control frame
}

// next consumes bytes of p, which it may change, up to the end of the next message or
// control frame, and returns how many. Without a frame all of p is consumed.
func (f *frameReader) next(p []byte) (n int, _ frame, err error) {
	for {
		if f.skip > 0 {
			skipped := min(f.skip, int64(len(p)-n))
			f.skip -= skipped
			n += int(skipped)
		}
		if !f.inFrame {
			used, ok, err := f.readHeader(p[n:])
			n += used
			if err != nil || !ok {
				return n, frame{}, err
			}
		}
		used, fr, done, err := f.readPayload(p[n:])
		n += used
		if err != nil || fr.found || !done {
			return n, fr, err
		}
	}
}

// readHeader consumes the header of a frame and checks it; ok is false when p ends before.
func (f *frameReader) readHeader(p []byte) (used int, ok bool, err error) {
	for {
		need := headerSize(f.head[:f.headLen])
		if int(f.headLen) == need {
			break
		}
		c := copy(f.head[f.headLen:need], p[used:])
		if c == 0 {
			return used, false, nil
		}
		used += c
		f.headLen += uint8(c)
	}
	h := parseHeader(f.head[:f.headLen])
	f.headLen = 0
	state := ws.StateServerSide
	if f.msgOp != 0 {
		state = state.Set(ws.StateFragmented)
	}
	marked := f.deflate && h.Rsv == rsv1 && (h.OpCode == ws.OpText || h.OpCode == ws.OpBinary)
	if marked {
		h.Rsv = 0
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return used, false, err
	}
	if h.Length < 0 {
		return used, false, errFrameLength
	}
	if !h.OpCode.IsControl() {
		tooBig := h.Length > f.limit-int64(len(f.msg))
		if h.OpCode != ws.OpContinuation {
			f.msgOp, f.zipped = h.OpCode, marked
		}
		if tooBig {
			f.skip, f.msg = h.Length, nil
			if h.Fin {
				f.msgOp = 0
			}
			return used, false, errMessageTooBig
		}
	}
	f.header, f.inFrame, f.maskPos = h, true, 0
	return used, true, nil
}

// readPayload consumes payload of the present frame. done tells that the frame is
// complete, which for a fragment does not mean that anything was found.
func (f *frameReader) readPayload(p []byte) (used int, _ frame, done bool, err error) {
	used = int(min(int64(len(p)), f.header.Length))
	p = p[:used]
	ws.Cipher(p, f.header.Mask, f.maskPos)
	f.maskPos += used
	f.header.Length -= int64(used)
	done = f.header.Length == 0
	f.inFrame = !done

	kept := &f.msg
	if f.header.OpCode.IsControl() {
		kept = &f.control
	}
	whole := done && (f.header.Fin || f.header.OpCode.IsControl())
	if !whole || len(*kept) > 0 {
		*kept = append(*kept, p...)
		p = *kept
	}
	if !whole {
		return used, frame{}, done, nil
	}
	*kept = nil
	fr := frame{found: true, op: f.header.OpCode, payload: p}
	if !fr.op.IsControl() {
		fr.op, f.msgOp, fr.compressed = f.msgOp, 0, f.zipped
		if fr.op == ws.OpText && !fr.compressed && !utf8.Valid(p) {
			return used, frame{}, done, errNotUTF8
		}
	}
	return used, fr, done, nil
}

// headerSize returns how many bytes the header that starts with b has, as far as b tells.
func headerSize(b []byte) int {
	if len(b) < 2 {
		return 2
	}
	n := 2
	switch b[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if b[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// parseHeader decodes a complete header. A length with the first bit set becomes negative.
func parseHeader(b []byte) ws.Header {
	h := ws.Header{
		Fin: b[0]&0x80 != 0, Rsv: b[0] >> 4 & 7, OpCode: ws.OpCode(b[0] & 0x0f),
		Masked: b[1]&0x80 != 0, Length: int64(b[1] & 0x7f),
	}
	b = b[2:]
	switch h.Length {
	case 126:
		h.Length = int64(binary.BigEndian.Uint16(b))
		b = b[2:]
	case 127:
		h.Length = int64(binary.BigEndian.Uint64(b))
		b = b[8:]
	}
	if h.Masked {
		copy(h.Mask[:], b)
	}
	return h
}
