package socketio

import (
	"errors"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// argument is one argument of an event, to be sent on as it is.
type argument struct {
	args Args
	raw  []byte
}

// Values returns the arguments as values that Emit, Ack and EmitWithAck send on as they came: the JSON text is the same,
// with its order of keys, and binary is attached again. Nothing is decoded or copied before that. They can be mixed with
// other arguments; inside another value, such as a map, only those without binary can be sent, by their MarshalJSON. They
// share memory with the event.
func (a Args) Values() []any {
	list := make([]argument, len(a.elements))
	values := make([]any, len(list))
	for i, raw := range a.elements {
		list[i] = argument{args: a, raw: raw}
		values[i] = &list[i]
	}
	return values
}

// append is what the encoder makes of an argument: the text, with its placeholders counted among attachments.
func (v *argument) append(dst []byte, attachments [][]byte) ([]byte, [][]byte) {
	if !v.mayHoldBinary() {
		return append(dst, v.raw...), attachments
	}
	dst = v.args.replace(dst, v.raw, func(dst []byte, n int) []byte {
		dst = protocol.AppendPlaceholder(dst, len(attachments))
		attachments = append(attachments, v.args.attachments[n])
		return dst
	})
	return dst, attachments
}

func (v *argument) mayHoldBinary() bool {
	return len(v.args.attachments) > 0 && mayHoldPlaceholder(v.raw)
}

var errNested = errors.New("the binary of an event can be sent on as an argument only, not inside another value")

// MarshalJSON returns the text. It fails if there is binary in it.
func (v *argument) MarshalJSON() ([]byte, error) {
	if v.mayHoldBinary() {
		if _, attachments := v.append(nil, nil); len(attachments) > 0 {
			return nil, errNested
		}
	}
	return v.raw, nil
}
