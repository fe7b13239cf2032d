package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// Args are the arguments of an event or acknowledgement as they came: nothing is decoded before Bind. The zero value is
// none. Safe for concurrent use as long as no attachment is changed.
type Args struct {
	elements    [][]byte // raw JSON of each
	attachments [][]byte
}

var (
	errBinary = errors.New("argument holds binary where the target cannot")
	errTarget = errors.New("target must be a pointer that is not nil")
)

// Len returns the number of arguments.
func (a Args) Len() int { return len(a.elements) }

// first returns the first argument alone.
func (a Args) first() Args {
	if len(a.elements) > 1 {
		a.elements = a.elements[:1:1]
	}
	return a
}

// Raw returns argument i as JSON, binary as placeholders; nil if there is none. It must not be changed.
func (a Args) Raw(i int) json.RawMessage {
	if i < 0 || i >= len(a.elements) {
		return nil
	}
	return a.elements[i]
}

// Bind decodes the arguments into targets, one pointer each, by the rules of encoding/json; a nil target skips its argument
// and arguments beyond the targets are ignored. With fewer arguments than targets it returns ErrMissingArgument, after it
// has decoded those there are. Binary fits []byte, Binary and any (as a []byte), as an argument or anywhere inside it; an
// argument that is binary itself is not copied: it shares memory with the event.
func (a Args) Bind(targets ...any) error {
	for i, target := range targets {
		if i >= len(a.elements) {
			return fmt.Errorf("%w: %d of %d", ErrMissingArgument, i+1, len(targets))
		}
		if target == nil {
			continue
		}
		if err := a.bind(a.elements[i], target); err != nil {
			return fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return nil
}

func (a Args) bind(raw []byte, target any) error {
	if len(a.attachments) > 0 && mayHoldPlaceholder(raw) {
		if n, ok := protocol.Placeholder(raw); ok && n < len(a.attachments) {
			return bindBinary(a.attachments[n], target)
		}
		return a.bindNested(raw, target)
	}
	if bindPlain(raw, target) {
		return nil
	}
	return json.Unmarshal(raw, target)
}

// bindPlain decodes the most frequent types without encoding/json and reports whether it did. What it does not decode may
// still be right, or wrong.
func bindPlain(raw []byte, target any) bool {
	switch t := target.(type) {
	case *string:
		if len(raw) < 2 || raw[0] != '"' || !verbatim(string(raw[1:len(raw)-1])) {
			return false
		}
		*t = string(raw[1 : len(raw)-1])
		return true
	case *int:
		n, err := strconv.Atoi(string(raw))
		if err == nil {
			*t = n
		}
		return err == nil
	case *int64:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err == nil {
			*t = n
		}
		return err == nil
	case *bool:
		is := string(raw) == "true"
		if is || string(raw) == "false" { // not null, which leaves what there is
			*t = is
			return true
		}
	case *json.RawMessage:
		*t = append((*t)[:0:0], raw...)
		return true
	}
	return false
}

func bindBinary(data []byte, target any) error {
	switch t := target.(type) {
	case *[]byte:
		*t = data
	case *Binary:
		*t = data
	case *any:
		*t = data
	default:
		v := reflect.ValueOf(target)
		if v.Kind() != reflect.Pointer || v.IsNil() {
			return errTarget
		}
		if v = v.Elem(); v.Kind() != reflect.Slice || v.Type().Elem().Kind() != reflect.Uint8 {
			return fmt.Errorf("%w: %s", errBinary, v.Type())
		}
		v.SetBytes(data)
	}
	return nil
}

// decodeEvent reads the packet of an event. The result refers to body, and to elements if these have the room.
func decodeEvent(elements [][]byte, body []byte) (name string, a Args, err error) {
	a, err = decodeArgs(elements, body)
	if err != nil {
		return "", Args{}, err
	}
	if len(a.elements) == 0 {
		return "", Args{}, errors.New("decode event: it has no name")
	}
	if name, err = protocol.EventName(a.elements[0]); err != nil {
		return "", Args{}, fmt.Errorf("decode event: %w", err)
	}
	a.elements = a.elements[1:]
	return name, a, nil
}

// decodeAck reads the packet of an acknowledgement. The result refers to body.
func decodeAck(body []byte) (Args, error) { return decodeArgs(nil, body) }

func decodeArgs(elements [][]byte, body []byte) (Args, error) {
	p, err := wire.ParsePacket(body, nil)
	if err != nil {
		return Args{}, fmt.Errorf("decode packet: %w", err)
	}
	return Args{elements: protocol.Elements(elements, p.JSON), attachments: p.Attachments}, nil
}
