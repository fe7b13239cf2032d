package engine

import "bytes"

// A polling body of protocol 4 is a payload, packets in their polling form between separators:
//
//	packet *( U+001E packet )
const separator = 0x1e

// payloadReader walks over the packets of one payload. The zero value is at its end;
// an empty payload has one packet, which is empty and so malformed (POL-006).
type payloadReader struct {
	rest []byte
	more bool
	cut  func(*payloadReader) (packet, error) // takes one packet from rest
}

func newPayloadReader(body []byte) payloadReader {
	return payloadReader{rest: body, more: true, cut: (*payloadReader).cutV4}
}

// next returns the next packet, and false when there is none left. After an error
// there are no more packets: decoding stops at the first bad one (EPA-003).
func (p *payloadReader) next() (pkt packet, ok bool, err error) {
	if !p.more {
		return packet{}, false, nil
	}
	if pkt, err = p.cut(p); err != nil {
		p.rest, p.more = nil, false
		return packet{}, false, err
	}
	return pkt, true, nil
}

func (p *payloadReader) cutV4() (packet, error) {
	b := p.rest
	if i := bytes.IndexByte(b, separator); i >= 0 {
		b, p.rest = b[:i], b[i+1:]
	} else {
		p.rest, p.more = nil, false
	}
	return parsePolling(b)
}

// payloadLen returns the length of the payload that appendPayload builds.
func payloadLen(msgs []*Message) int {
	n := max(0, len(msgs)-1)
	for _, m := range msgs {
		n += len(m.pollingText())
	}
	return n
}

// appendPayload appends the payload of msgs to b.
func appendPayload(b []byte, msgs []*Message) []byte {
	for i, m := range msgs {
		if i > 0 {
			b = append(b, separator)
		}
		b = append(b, m.pollingText()...)
	}
	return b
}
