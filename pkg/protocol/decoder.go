package protocol

import (
	"bytes"
	"fmt"
)

// Decoder puts the packets of one client connection together from the text and
// binary messages it sends, in the order in which they arrived. Whatever else
// travels on that connection (pings, upgrades) is not shown to it and so cannot
// come between a packet and its attachments (PAR-026). The zero value is ready to
// use, with the default limits. It is not safe for concurrent use.
//
// After an error it holds nothing; the connection is beyond repair and should be
// closed.
type Decoder struct {
	limits  Limits
	partial *partial // nil unless attachments are missing, so that an idle one is small
}

// partial is a packet that waits for attachments. It owns its bytes.
type partial struct {
	packet      Packet
	attachments [][]byte
	size        int // bytes of the text and the attachments
}

// NewDecoder returns a Decoder that enforces lim.
func NewDecoder(lim Limits) *Decoder { return &Decoder{limits: lim} }

// Text takes one text message. If complete is true, p is a packet without
// attachments and a view of text. If not, and err is nil, Binary will return the
// packet with its last attachment; then the Decoder works on a copy, and the
// caller may reuse text. An error wraps ErrMalformed: text is no packet, or
// attachments of the one before are still missing (PAR-021).
func (d *Decoder) Text(text []byte) (p Packet, complete bool, err error) {
	if w := d.partial; w != nil {
		d.Reset()
		return Packet{}, false, fmt.Errorf("%w: text message while %d of %d attachments are missing",
			ErrMalformed, w.packet.Attachments-len(w.attachments), w.packet.Attachments)
	}
	waits := len(text) > 0 && Type(text[0]-'0').Binary()
	if waits {
		if err := d.fits(len(text)); err != nil {
			return Packet{}, false, err
		}
		text = bytes.Clone(text)
	}
	if p, err = Parse(text, d.limits); err != nil {
		return Packet{}, false, err
	}
	if waits {
		d.partial = &partial{packet: p, size: len(text)}
		return Packet{}, false, nil
	}
	return p, true, nil
}

// Binary takes one binary message, the next attachment of the packet that waits.
// If complete is true it was the last: p is the packet and attachments are its
// Attachments byte slices, in order. All of them belong to the caller, except that
// the last one is data itself; the others are copies. An error wraps ErrMalformed:
// no packet waits for an attachment (PAR-020), or there are too many bytes.
func (d *Decoder) Binary(data []byte) (p Packet, attachments [][]byte, complete bool, err error) {
	w := d.partial
	if w == nil {
		return Packet{}, nil, false, fmt.Errorf("%w: binary message of %d bytes without a packet that announced it",
			ErrMalformed, len(data))
	}
	w.size += len(data)
	if err := d.fits(w.size); err != nil {
		d.Reset()
		return Packet{}, nil, false, err
	}
	if len(w.attachments)+1 < w.packet.Attachments {
		w.attachments = append(w.attachments, bytes.Clone(data))
		return Packet{}, nil, false, nil
	}
	d.Reset()
	return w.packet, append(w.attachments, data), true, nil
}

// Reset drops a packet that waits for attachments, if there is one, so that the
// next message can begin a new packet (PAR-022).
func (d *Decoder) Reset() { d.partial = nil }

// fits returns an error if size bytes are too many for one packet.
func (d *Decoder) fits(size int) error {
	if most := d.limits.MaxBytes; most > 0 && size > most {
		return fmt.Errorf("%w: text and attachments take %d bytes, more than the %d allowed", ErrMalformed, size, most)
	}
	return nil
}
