package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// Arguments become one JSON array, with the event's name first, by the rules of encoding/json, except that
//
//   - []byte and Binary, as an argument or anywhere inside maps, slices, pointers and structs, become attachments: their
//     place holds {"_placeholder":true,"num":i}, counted in the order of the JSON text (PAR-005, PAR-007);
//   - HTML characters are not escaped.
//
// A nil []byte is null. NaN, infinities, cycles, channels and functions are errors (PAR-024, PAR-027; the reference writes
// NaN as null). A time.Time is its RFC 3339 string, a nil pointer null, fields are left out by omitempty and omitzero.
// Types with MarshalJSON or MarshalText encode themselves and are not searched for binary. What Args.Values returns is sent
// as it came. The arguments are never changed (PAR-008).

// Binary is binary data, sent as an attachment just as []byte is.
type Binary []byte

var errUTF8 = errors.New("encoded JSON is not UTF-8")

// encoder encodes packets. Safe for concurrent use.
type encoder struct {
	maxPacket int
	bodies    sync.Pool // of *[]byte
	types     sync.Map  // reflect.Type → bool: see mayHoldBinary
}

const keptBody = 64 << 10 // bodies with a larger capacity are not kept for reuse

// body returns an empty buffer; release takes it back.
func (c *encoder) body() *[]byte {
	if b, ok := c.bodies.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 512)
	return &b
}

func (c *encoder) release(b *[]byte) {
	if cap(*b) <= keptBody {
		*b = (*b)[:0]
		c.bodies.Put(b)
	}
}

// event appends the packet of an event to dst.
func (c *encoder) event(dst []byte, name string, args []any) ([]byte, error) {
	if protocol.Reserved(name) {
		return dst, &ReservedEventError{Event: name}
	}
	start := len(dst)
	dst = append(wire.AppendPacket(dst, wire.Packet{}), '[')
	dst, err := appendString(dst, name)
	if err != nil {
		return dst, err
	}
	dst, err = c.rest(dst, start, args, true)
	if err != nil {
		return dst, fmt.Errorf("encode event %.80q: %w", name, err)
	}
	return dst, nil
}

// ack appends the packet of an acknowledgement to dst; without arguments it is [] (SOC-009).
func (c *encoder) ack(dst []byte, args []any) ([]byte, error) {
	start := len(dst)
	dst = append(wire.AppendPacket(dst, wire.Packet{}), '[')
	dst, err := c.rest(dst, start, args, false)
	if err != nil {
		return dst, fmt.Errorf("encode acknowledgement: %w", err)
	}
	return dst, nil
}

// rest appends the arguments and the end of the array to a packet that begins at start and has no attachments so far.
func (c *encoder) rest(dst []byte, start int, args []any, comma bool) ([]byte, error) {
	var attachments [][]byte
	for i, arg := range args {
		if comma || i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, attachments, err = c.value(dst, attachments, arg); err != nil {
			return dst, fmt.Errorf("argument %d: %w: %w", i+1, ErrEncode, err)
		}
	}
	dst = append(dst, ']')
	size := len(dst) - start
	for _, a := range attachments {
		size += len(a)
	}
	if size > c.maxPacket {
		return dst, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	if len(attachments) > 0 {
		head := len(wire.AppendPacket(nil, wire.Packet{}))
		text := bytes.Clone(dst[start+head:])
		dst = wire.AppendPacket(dst[:start], wire.Packet{JSON: text, Attachments: attachments})
	}
	return dst, nil
}

// value appends one value. The common types need no reflection.
func (c *encoder) value(dst []byte, attachments [][]byte, v any) ([]byte, [][]byte, error) {
	var err error
	switch v := v.(type) {
	case nil:
		dst = append(dst, "null"...)
	case string:
		dst, err = appendString(dst, v)
	case bool:
		dst = strconv.AppendBool(dst, v)
	case int:
		dst = strconv.AppendInt(dst, int64(v), 10)
	case int64:
		dst = strconv.AppendInt(dst, v, 10)
	case int32:
		dst = strconv.AppendInt(dst, int64(v), 10)
	case uint64:
		dst = strconv.AppendUint(dst, v, 10)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 && v != 0 {
			dst = strconv.AppendInt(dst, int64(v), 10)
		} else {
			dst, err = appendJSON(dst, v)
		}
	case []byte:
		dst, attachments = appendBinary(dst, attachments, v)
	case Binary:
		dst, attachments = appendBinary(dst, attachments, v)
	case *argument:
		dst, attachments = v.append(dst, attachments)
	case json.RawMessage:
		switch {
		case v == nil:
			dst = append(dst, "null"...)
		case !json.Valid(v) || !utf8.Valid(v):
			err = fmt.Errorf("json.RawMessage %.40q is no JSON", []byte(v))
		default:
			dst = append(dst, v...)
		}
	default:
		return c.search(dst, attachments, reflect.ValueOf(v))
	}
	return dst, attachments, err
}

func appendBinary(dst []byte, attachments [][]byte, data []byte) ([]byte, [][]byte) {
	if data == nil {
		return append(dst, "null"...), attachments
	}
	return protocol.AppendPlaceholder(dst, len(attachments)), append(attachments, data)
}

func appendString(dst []byte, s string) ([]byte, error) {
	if !verbatim(s) {
		return appendJSON(dst, s)
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"'), nil
}

// verbatim reports whether s stands in JSON as it is.
func verbatim(s string) bool {
	ascii := true
	for i := range len(s) {
		switch b := s[i]; {
		case b < 0x20, b == '"', b == '\\':
			return false
		case b >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii || utf8.ValidString(s)
}

// appendJSON appends what encoding/json makes of v.
func appendJSON(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	e := json.NewEncoder(buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, err
	}
	out := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if !utf8.Valid(out[len(dst):]) { // from a MarshalJSON: a client would close the connection
		return dst, errUTF8
	}
	return out, nil
}
