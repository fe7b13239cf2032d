package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"

	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// Binary in arguments and acknowledgements, at any depth, is an object with one key:
//
//	{"$binary":"AQID"}                 standard base64 with padding
//
// and becomes {"_placeholder":true,"num":i} and attachment i on the way to clients.

const (
	binaryKey      = "$binary"
	placeholderKey = "_placeholder"
)

// parseArgs reads the arguments of an event. Their text stays as it is if no binary is in it, else but for white space and how
// strings are escaped.
func parseArgs(array json.RawMessage) (socketio.Args, error) {
	if len(array) == 0 || string(array) == "null" {
		return socketio.Args{}, nil
	}
	if array[0] != '[' {
		return socketio.Args{}, invalid("args is not an array")
	}
	var attachments [][]byte
	if mayHoldBinary(array) {
		r := binaryReader{from: json.NewDecoder(bytes.NewReader(array))}
		r.from.UseNumber()
		if err := r.value(); err != nil {
			return socketio.Args{}, err
		}
		array, attachments = r.text.Bytes(), r.attachments
	}
	args, err := socketio.ParseArgs(array, attachments)
	if err != nil {
		return socketio.Args{}, invalid("args: %v", err)
	}
	return args, nil
}

// mayHoldBinary is quick and says yes too often: a key may be written with escapes.
func mayHoldBinary(text []byte) bool {
	return bytes.Contains(text, []byte(binaryKey)) || bytes.Contains(text, []byte(`\u`))
}

// binaryReader copies JSON, which encoding/json has found valid and not too deep, and takes binary out of it.
type binaryReader struct {
	from        *json.Decoder
	text        bytes.Buffer
	attachments [][]byte
}

func (r *binaryReader) value() error {
	token, err := r.from.Token()
	if err != nil {
		return invalid("args: %v", err)
	}
	switch token {
	case json.Delim('['):
		return r.array()
	case json.Delim('{'):
		return r.object()
	}
	return r.plain(token)
}

// plain copies a value that holds no other.
func (r *binaryReader) plain(token any) error {
	e := json.NewEncoder(&r.text)
	e.SetEscapeHTML(false)
	if err := e.Encode(token); err != nil {
		return invalid("args: %v", err)
	}
	r.text.Truncate(r.text.Len() - 1) // the line break
	return nil
}

func (r *binaryReader) array() error {
	r.text.WriteByte('[')
	for first := true; r.from.More(); first = false {
		if !first {
			r.text.WriteByte(',')
		}
		if err := r.value(); err != nil {
			return err
		}
	}
	return r.end(']')
}

func (r *binaryReader) object() error {
	r.text.WriteByte('{')
	for first := true; r.from.More(); first = false {
		key, err := r.from.Token()
		switch {
		case err != nil:
			return invalid("args: %v", err)
		case key == binaryKey && first:
			r.text.Truncate(r.text.Len() - 1)
			return r.binary()
		case key == binaryKey:
			return invalid("args: an object with %s has other keys too", binaryKey)
		case key == placeholderKey:
			return invalid("args: the key %s stands beside %s", placeholderKey, binaryKey)
		}
		if !first {
			r.text.WriteByte(',')
		}
		if err := r.plain(key); err != nil {
			return err
		}
		r.text.WriteByte(':')
		if err := r.value(); err != nil {
			return err
		}
	}
	return r.end('}')
}

// end copies what ends an array or object.
func (r *binaryReader) end(delim byte) error {
	if _, err := r.from.Token(); err != nil {
		return invalid("args: %v", err)
	}
	r.text.WriteByte(delim)
	return nil
}

// binary reads on behind the key.
func (r *binaryReader) binary() error {
	token, err := r.from.Token()
	if err != nil {
		return invalid("args: %v", err)
	}
	text, ok := token.(string)
	if !ok {
		return invalid("args: %s is not a string", binaryKey)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return invalid("args: %s is not base64: %v", binaryKey, err)
	}
	if r.from.More() {
		return invalid("args: an object with %s has other keys too", binaryKey)
	}
	if _, err := r.from.Token(); err != nil && !errors.Is(err, io.EOF) {
		return invalid("args: %v", err)
	}
	r.text.Write(protocol.AppendPlaceholder(nil, len(r.attachments)))
	r.attachments = append(r.attachments, data)
	return nil
}

// withBinary is the first of the arguments that came from a client, with its binary in it; nil if there is none.
func withBinary(args socketio.Args) json.RawMessage {
	raw, attachments := args.Raw(0), args.Attachments()
	if len(attachments) == 0 {
		return raw
	}
	var out []byte
	for i := 0; i < len(raw); {
		end := i + 1
		switch raw[i] {
		case '"':
			end = behindString(raw, i)
		case '{':
			closing := i + bytes.IndexByte(raw[i:], '}') + 1 // nothing is nested in a placeholder
			if n, ok := protocol.Placeholder(raw[i:closing]); ok && n < len(attachments) {
				out = append(out, `{"`+binaryKey+`":"`...)
				out = base64.StdEncoding.AppendEncode(out, attachments[n])
				out = append(out, `"}`...)
				i = closing
				continue
			}
		}
		out = append(out, raw[i:end]...)
		i = end
	}
	return out
}

// behindString returns the index behind the JSON string that begins at i.
func behindString(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}
