package msgpack

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	codec "github.com/vmihailenco/msgpack/v5"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// writer turns a JSON payload into msgpack. The JSON has been found valid, so that
// nothing here looks for its faults. It is the io.Writer of its encoder.
type writer struct {
	json        []byte
	text        string // the same: parts of it are strings without being copied
	at          int    // the next byte of it
	sizes       []int  // of the arrays and objects from here on, outer ones first
	attachments [][]byte
	spare       int // bytes that attachments may still take

	tokens *codec.Encoder
	out    []byte
	err    error
}

// Write implements io.Writer.
func (w *writer) Write(b []byte) (int, error) {
	w.out = append(w.out, b...)
	return len(b), nil
}

// WriteByte implements io.ByteWriter.
func (w *writer) WriteByte(b byte) error {
	w.out = append(w.out, b)
	return nil
}

// count finds out how many elements or members each array and object has, since
// msgpack says it first.
func (w *writer) count() {
	var open []int // indexes into sizes
	for i := 0; i < len(w.json); i++ {
		switch w.json[i] {
		case '"':
			i = stringEnd(w.json, i) - 1
		case '[', '{':
			open = append(open, len(w.sizes))
			n := 1
			if c := w.json[skipSpace(w.json, i+1)]; c == ']' || c == '}' {
				n = 0
			}
			w.sizes = append(w.sizes, n)
		case ']', '}':
			open = open[:len(open)-1]
		case ',':
			w.sizes[open[len(open)-1]]++
		}
	}
}

// value writes the next value.
func (w *writer) value() {
	w.space()
	switch w.json[w.at] {
	case '"':
		w.str()
	case '[':
		w.array()
	case '{':
		if num, ok := w.placeholder(); ok {
			w.attachment(num)
		} else {
			w.object()
		}
	case 't':
		w.at += len("true")
		w.keep(w.tokens.EncodeBool(true))
	case 'f':
		w.at += len("false")
		w.keep(w.tokens.EncodeBool(false))
	case 'n':
		w.at += len("null")
		w.keep(w.tokens.EncodeNil())
	default:
		w.number()
	}
}

// keep keeps the first error, for the end. The library's are those of Write.
func (w *writer) keep(err error) {
	if w.err == nil {
		w.err = err
	}
}

// size takes the size of the array or object that begins here.
func (w *writer) size() int {
	n := w.sizes[0]
	w.sizes = w.sizes[1:]
	return n
}

func (w *writer) array() {
	n := w.size()
	w.keep(w.tokens.EncodeArrayLen(n))
	for range n {
		w.at++ // bracket or comma
		w.value()
		w.space()
	}
	w.close(n)
}

func (w *writer) object() {
	n := w.size()
	w.keep(w.tokens.EncodeMapLen(n))
	for range n {
		w.at++ // brace or comma
		w.space()
		w.str()
		w.space()
		w.at++ // colon
		w.value()
		w.space()
	}
	w.close(n)
}

// close steps over the end of an array or object, and over the beginning too if
// there is nothing between.
func (w *writer) close(n int) {
	if n == 0 {
		w.at++
		w.space()
	}
	w.at++
}

// placeholder reports whether the object that begins here stands for an attachment.
func (w *writer) placeholder() (num int, ok bool) {
	const members = 2
	if len(w.attachments) == 0 || w.sizes[0] != members {
		return 0, false
	}
	// A placeholder has no brace within: up to the first one is all of it, or no JSON.
	end := w.at + bytes.IndexByte(w.json[w.at:], '}') + 1
	num, ok = protocol.Placeholder(w.json[w.at:end])
	if !ok || num >= len(w.attachments) {
		return 0, false
	}
	w.at = end
	w.size()
	return num, true
}

// attachment writes the bytes a placeholder stands for.
func (w *writer) attachment(num int) {
	data := w.attachments[num]
	if w.spare -= len(data); w.spare < 0 {
		w.spare = 0
		w.keep(fmt.Errorf("%w: attachments are named too often", protocol.ErrMalformed))
		return
	}
	w.keep(w.tokens.EncodeBytesLen(len(data)))
	w.out = append(w.out, data...)
}

// str writes a string or a key.
func (w *writer) str() {
	end := stringEnd(w.json, w.at)
	raw := w.text[w.at:end]
	w.at = end
	s := raw[1 : len(raw)-1]
	if strings.IndexByte(s, '\\') >= 0 {
		var err error
		s, err = protocol.EventName([]byte(raw)) // which takes any string
		w.keep(err)
	}
	w.keep(w.tokens.EncodeString(s))
}

// number writes a number as JavaScript has it: an integer if it is one, however it
// is written. One beyond 2^53 keeps its digits, which JavaScript rounds when it
// reads them.
func (w *writer) number() {
	from, whole := w.at, true
scan:
	for ; w.at < len(w.json); w.at++ {
		switch c := w.json[w.at]; {
		case c == '.', c == 'e', c == 'E':
			whole = false
		case c != '+' && c != '-' && (c < '0' || c > '9'):
			break scan
		}
	}
	digits := w.text[from:w.at]
	if whole && digits != "-0" {
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			w.keep(w.tokens.EncodeInt(n))
			return
		}
		if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
			w.keep(w.tokens.EncodeUint(n))
			return
		}
	}
	f, _ := strconv.ParseFloat(digits, 64) // one that is too large is an infinity, as for JSON.parse
	const exact = 1 << 53
	if f == math.Trunc(f) && math.Abs(f) <= exact && (f != 0 || !math.Signbit(f)) {
		w.keep(w.tokens.EncodeInt(int64(f)))
		return
	}
	w.keep(w.tokens.EncodeFloat64(f))
}

func (w *writer) space() { w.at = skipSpace(w.json, w.at) }

// skipSpace returns the index of the first byte from i on that is not white space.
func skipSpace(json []byte, i int) int {
	for i < len(json) && (json[i] == ' ' || json[i] == '\n' || json[i] == '\t' || json[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns the index behind the valid string that begins at i.
func stringEnd(json []byte, i int) int {
	for i++; json[i] != '"'; i++ {
		if json[i] == '\\' {
			i++
		}
	}
	return i + 1
}
