package engine

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// A polling body of protocol 3 is either text or, with Content-Type
// application/octet-stream, binary:
//
//	text    1*( length ":" packet )                 length in UTF-16 code units, in decimal
//	binary  1*( %x00 length %xFF text-packet        length in bytes, in decimal, but each
//	          / %x01 length %xFF binary-packet )    digit is a byte 0 to 9
//
// The packets are those of dialect. The server answers in binary if there is binary data
// among the packets and the client did not ask for base64.
const (
	contentText   = "text/plain; charset=UTF-8"
	contentBinary = "application/octet-stream"

	binaryText  = 0    // what kind of packet follows
	binaryBytes = 1    //
	lengthEnd   = 0xff // ends the digits of a length
)

// newPayloadReader returns a reader of a body; octets tells that its Content-Type is binary.
func (d dialect) newPayloadReader(body []byte, octets bool) payloadReader {
	p := newPayloadReader(body)
	switch {
	case !d.v3:
	case octets:
		p.cut = (*payloadReader).cutBinaryV3
	default:
		p.cut = (*payloadReader).cutTextV3
	}
	return p
}

// cutTextV3 returns the next packet of a text payload.
func (p *payloadReader) cutTextV3() (packet, error) {
	n, digits := 0, 0
	for ; ; digits++ {
		if digits == len(p.rest) {
			return packet{}, fmt.Errorf("%w: no length", errMalformed)
		}
		c := p.rest[digits]
		if c == ':' && digits > 0 {
			break
		}
		if n = 10*n + int(c-'0'); c < '0' || c > '9' || n > len(p.rest) {
			return packet{}, fmt.Errorf("%w: length", errMalformed)
		}
	}
	body := p.rest[digits+1:]
	end, ok := utf16End(body, n)
	if !ok {
		return packet{}, fmt.Errorf("%w: %d UTF-16 code units announced", errMalformed, n)
	}
	p.rest = body[end:]
	p.more = len(p.rest) > 0
	if n == 0 {
		return packet{kind: packetNoop}, nil // an encoder's form of no packets, which the reference skips
	}
	return dialect{v3: true}.parsePolling(body[:end])
}

// cutBinaryV3 returns the next packet of a binary payload.
func (p *payloadReader) cutBinaryV3() (packet, error) {
	if len(p.rest) == 0 || p.rest[0] != binaryText && p.rest[0] != binaryBytes {
		return packet{}, fmt.Errorf("%w: neither text nor binary", errMalformed)
	}
	text := p.rest[0] == binaryText
	n, end := 0, 1
	for ; ; end++ {
		if end == len(p.rest) {
			return packet{}, fmt.Errorf("%w: no length", errMalformed)
		}
		c := p.rest[end]
		if c == lengthEnd && end > 1 {
			break
		}
		if n = 10*n + int(c); c > 9 || n > len(p.rest) {
			return packet{}, fmt.Errorf("%w: length", errMalformed)
		}
	}
	body := p.rest[end+1:]
	if n > len(body) {
		return packet{}, fmt.Errorf("%w: %d bytes announced, %d there", errMalformed, n, len(body))
	}
	p.rest = body[n:]
	p.more = len(p.rest) > 0
	if text {
		return dialect{v3: true}.parsePolling(body[:n])
	}
	return dialect{v3: true}.parseBinary(body[:n])
}

// utf16End returns where in b the first n UTF-16 code units end; false if there are not as
// many, or if the last is half a character.
func utf16End(b []byte, n int) (int, bool) {
	for i, c := range b {
		units := utf16Units(c)
		if n == 0 && units > 0 {
			return i, true
		}
		n -= units
	}
	return len(b), n == 0
}

// utf16Len returns the length of UTF-8 text in UTF-16 code units, as JavaScript counts.
func utf16Len(b []byte) int {
	n := 0
	for _, c := range b {
		n += utf16Units(c)
	}
	return n
}

// utf16Units returns how many UTF-16 code units the character has that c begins, 0 if c
// continues one.
func utf16Units(c byte) int {
	switch {
	case c < 0x80:
		return 1
	case c < 0xc0:
		return 0
	case c < 0xf0:
		return 1
	default:
		return 2 // a surrogate pair
	}
}

// utf16Len returns the length of a text packet, which is counted once.
func (m *Message) utf16Len() int {
	n := int(m.units.Load())
	if n == 0 { // a packet has its type at least
		if n = utf16Len(m.payload()); n <= math.MaxUint32 {
			m.units.Store(uint32(n))
		}
	}
	return n
}

// payloadType returns the Content-Type of the payload of msgs.
func (d dialect) payloadType(msgs []*Message) string {
	if d.v3 && !d.base64 {
		for _, m := range msgs {
			if m.bin {
				return contentBinary
			}
		}
	}
	return contentText
}

// payloadLen returns the length of the payload that appendPayload builds.
func (d dialect) payloadLen(msgs []*Message) int {
	if !d.v3 {
		return payloadLen(msgs)
	}
	n, binary := 0, d.payloadType(msgs) == contentBinary
	for _, m := range msgs {
		length, packet := d.measureV3(m, binary)
		n += len(strconv.Itoa(length)) + 1 + packet
		if binary {
			n++
		}
	}
	return n
}

// appendPayload appends the payload of msgs to b.
func (d dialect) appendPayload(b []byte, msgs []*Message) []byte {
	if !d.v3 {
		return appendPayload(b, msgs)
	}
	binary := d.payloadType(msgs) == contentBinary
	for _, m := range msgs {
		length, _ := d.measureV3(m, binary)
		if binary {
			b = appendBinaryV3(b, m, length)
			continue
		}
		b = append(strconv.AppendInt(b, int64(length), 10), ':')
		b = append(b, d.textV3(m)...)
	}
	return b
}

// measureV3 returns the length of m as it is announced, and in bytes.
func (d dialect) measureV3(m *Message, binary bool) (announced, bytes int) {
	switch {
	case binary && m.bin:
		bytes = 1 + len(m.payload())
	case binary || m.bin: // base64 is ASCII
		bytes = len(d.textV3(m))
	default:
		return m.utf16Len(), len(m.payload())
	}
	return bytes, bytes
}

// textV3 returns the text form of m.
func (d dialect) textV3(m *Message) []byte {
	if m.bin {
		return m.asText(d).payload()
	}
	return m.payload()
}

// appendBinaryV3 appends m as a packet of a binary payload.
func appendBinaryV3(b []byte, m *Message, length int) []byte {
	kind := byte(binaryText)
	if m.bin {
		kind = binaryBytes
	}
	b = append(b, kind)
	digits := len(b)
	b = strconv.AppendInt(b, int64(length), 10)
	for i := range b[digits:] {
		b[digits+i] -= '0'
	}
	b = append(b, lengthEnd)
	if m.bin {
		b = append(b, byte(m.kind))
	}
	return append(b, m.payload()...)
}

// isBinaryPayload reports whether the body of r is a binary payload.
func isBinaryPayload(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), contentBinary)
}
