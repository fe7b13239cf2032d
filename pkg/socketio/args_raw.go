package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/siomesh/siomesh/pkg/protocol"
)

var errArgs = errors.New("arguments are no JSON array")

// ParseArgs returns the arguments of a JSON array, in which {"_placeholder":true,"num":i} stands for attachment i: what Raw and
// Attachments give. With Values they are sent with their text as it is. They share memory with what is given.
func ParseArgs(array json.RawMessage, attachments [][]byte) (Args, error) {
	if !json.Valid(array) || !utf8.Valid(array) {
		return Args{}, fmt.Errorf("parse arguments: %w: %.40q", errArgs, []byte(array))
	}
	a := Args{elements: protocol.Elements(nil, array), attachments: attachments}
	if len(a.elements) == 0 && !emptyArray(array) { // another value, or nested too deeply
		return Args{}, fmt.Errorf("parse arguments: %w: %.40q", errArgs, []byte(array))
	}
	return a, nil
}

func emptyArray(text json.RawMessage) bool {
	var list []json.RawMessage
	return json.Unmarshal(text, &list) == nil && list != nil && len(list) == 0
}

// Attachments returns the binary that the placeholders of Raw stand for, by their numbers. It must not be changed.
func (a Args) Attachments() [][]byte { return a.attachments }
