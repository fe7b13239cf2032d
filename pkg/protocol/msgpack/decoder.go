package msgpack

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// maxKept is the largest buffer that a Decoder keeps from one packet to the next.
const maxKept = 512

// Decoder reads the packets of one client connection (PAR-031). It has the methods
// of protocol.Decoder and can stand in its place. A packet is one message, so it
// never waits for another one. The zero value is ready to use, with the default
// limits. It is not safe for concurrent use.
type Decoder struct {
	limits protocol.Limits
	reader reader
}

// NewDecoder returns a Decoder that enforces lim: MaxAttachments for the binary
// values of a packet, MaxDepth as for JSON, and MaxBytes for the JSON and the
// attachments that a packet becomes, which can be several times its own size.
func NewDecoder(lim protocol.Limits) *Decoder { return &Decoder{limits: lim} }

// Text refuses a text message: packets are binary. The error wraps
// protocol.ErrMalformed.
func (d *Decoder) Text(text []byte) (protocol.Packet, bool, error) {
	return protocol.Packet{}, false, fmt.Errorf("%w: text message of %d bytes, want msgpack", protocol.ErrMalformed, len(text))
}

// Binary reads one binary message, which is a whole packet: complete is true unless
// there is an error, which wraps protocol.ErrMalformed. The packet is as if a client
// had sent it in JSON: of type BinaryEvent or BinaryAck if it has attachments, with
// Data that protocol.Valid accepts. It is valid until the next call; the attachments
// are views of data.
//
// Binary refuses what package protocol refuses, and of what the npm package takes
//   - a namespace that does not begin with a slash or holds a comma, an id below zero;
//   - an id on a connect or disconnect, a second type, nsp, data or id;
//   - binary values in a connect or connect error;
//   - strings that are not UTF-8, keys that are not strings, extensions of other types;
//   - beside binary values, maps with "_placeholder":true, which would be one of them.
//
// A nil as the payload of a connect or disconnect is taken for none: other clients
// write it.
func (d *Decoder) Binary(data []byte) (p protocol.Packet, attachments [][]byte, complete bool, err error) {
	r := &d.reader
	r.begin(data, d.limits.WithDefaults())
	defer r.end()
	h, err := r.header()
	if err == nil {
		p, err = h.packet(r)
	}
	if err != nil {
		return protocol.Packet{}, nil, false, err
	}
	return p, r.attachments, true, nil
}

// header is what the map of a packet says.
type header struct {
	kind      int
	namespace []byte
	data      span // of r.out
	first     span // of r.out: the first element of data, if that is an array
	id        uint64

	hasKind, hasNamespace, hasData, hasID bool

	null bool // data is nil
}

// span is a part of a buffer that may still grow.
type span struct{ from, to int }

func (s span) of(b []byte) []byte { return b[s.from:s.to:s.to] }

// header reads the map that a packet is.
func (r *reader) header() (header, error) {
	var h header
	n, err := r.mapLen()
	if err != nil {
		return h, err
	}
	for range n {
		key, err := r.text()
		if err != nil {
			return h, err
		}
		if err := h.member(r, key); err != nil {
			return h, err
		}
	}
	if rest := len(r.data) - r.at(); rest > 0 {
		return h, r.malformed(strconv.Itoa(rest) + " trailing bytes") // PAR-030
	}
	return h, nil
}

// member reads the value of one key.
func (h *header) member(r *reader, key []byte) error {
	var (
		seen *bool
		read func(*reader) error
	)
	switch string(key) {
	case "type":
		seen, read = &h.hasKind, h.readKind
	case "nsp":
		seen, read = &h.hasNamespace, h.readNamespace
	case "data":
		seen, read = &h.hasData, h.readData
	case "id":
		seen, read = &h.hasID, h.readID
	default:
		return r.ignore()
	}
	if *seen {
		return r.malformed("second " + string(key))
	}
	if r.undefined() {
		return r.skipUndefined()
	}
	*seen = true
	return read(r)
}

func (h *header) readKind(r *reader) error {
	n, ok, err := r.natural()
	if err == nil && (!ok || n > uint64(protocol.ConnectError)) {
		err = r.malformed("invalid packet type") // PAR-030
	}
	h.kind = int(n & 7)
	return err
}

func (h *header) readNamespace(r *reader) (err error) {
	if !r.isText() {
		return r.malformed("invalid namespace") // PAR-030
	}
	h.namespace, err = r.text()
	return err
}

func (h *header) readData(r *reader) error {
	h.null = r.isNil()
	h.data.from = len(r.out)
	first, err := r.value(0)
	h.data.to, h.first = len(r.out), first
	return err
}

func (h *header) readID(r *reader) error {
	n, ok, err := r.natural()
	if err == nil && !ok {
		err = r.malformed("invalid packet id") // PAR-030
	}
	h.id = n
	return err
}

// packet checks the parts against one another and returns the packet.
func (h *header) packet(r *reader) (protocol.Packet, error) {
	p := protocol.Packet{Type: protocol.Type(h.kind), Namespace: h.namespace, Attachments: len(r.attachments)} //nolint:gosec // 0 to 4
	if what := h.misfit(r); what != "" {
		return p, r.malformed(what)
	}
	if h.hasID {
		from := len(r.out)
		r.out = strconv.AppendUint(r.out, h.id, 10)
		p.ID = span{from, len(r.out)}.of(r.out)
	}
	if h.hasData && !h.null {
		p.Data = h.data.of(r.out)
	}
	if p.Type == protocol.Event {
		p.Event = h.first.of(r.out)
		if what := badName(p.Event); what != "" {
			return p, r.malformed(what)
		}
	}
	if p.Attachments > 0 {
		p.Type += protocol.BinaryEvent - protocol.Event
	}
	return p, nil
}

// misfit tells why the parts make no packet, or "".
func (h *header) misfit(r *reader) string {
	switch {
	case !h.hasKind:
		return "invalid packet type"
	case !h.hasNamespace || len(h.namespace) == 0 || h.namespace[0] != '/' || bytes.IndexByte(h.namespace, ',') >= 0:
		return "invalid namespace"
	case !h.fits(r):
		return "invalid payload"
	}
	kind := protocol.Type(h.kind) //nolint:gosec // 0 to 4
	switch {
	case kind == protocol.Ack && !h.hasID, kind != protocol.Ack && kind != protocol.Event && h.hasID:
		return "invalid packet id"
	case r.marked && len(r.attachments) > 0:
		return "illegal attachments: a map is marked as a placeholder" // PAR-019
	}
	return ""
}

// fits reports whether the payload is one that the type calls for.
func (h *header) fits(r *reader) bool {
	var first byte
	if h.hasData && !h.null {
		first = r.out[h.data.from]
	}
	switch protocol.Type(h.kind) { //nolint:gosec // 0 to 4
	case protocol.Connect:
		return len(r.attachments) == 0 && (first == '{' || first == 0)
	case protocol.Disconnect:
		return first == 0
	case protocol.ConnectError:
		return len(r.attachments) == 0 && (first == '{' || first == '"')
	default:
		return first == '['
	}
}

// badName tells why raw, the first element of an array or nothing if that is empty,
// cannot name an event, or "". No reserved name needs an escape.
func badName(raw []byte) string {
	switch {
	case len(raw) == 0:
		return "event without a name" // PAR-014
	case raw[0] == '"':
		const most = len(`"removeListener"`)
		if len(raw) <= most && protocol.Reserved(string(raw[1:len(raw)-1])) {
			return "reserved event name" // PAR-011
		}
	case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9'):
		return "event name is neither a string nor a number" // PAR-010
	}
	return ""
}
