package msgpack

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"

	codec "github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// reader turns one message into JSON and attachments. The library takes the tokens
// apart; what they mean is decided here.
type reader struct {
	data   []byte
	source bytes.Reader // of data
	tokens *codec.Decoder
	limits protocol.Limits

	out         []byte // the JSON
	attachments [][]byte
	size        int  // bytes of attachments
	marked      bool // a map that becomes JSON says "_placeholder":true
}

func (r *reader) begin(data []byte, lim protocol.Limits) {
	r.data, r.limits = data, lim
	r.source.Reset(data)
	r.tokens = codec.GetDecoder()
	r.tokens.Reset(&r.source)
	r.out, r.attachments, r.size, r.marked = r.out[:0], nil, 0, false
}

// end lets go of everything but a small buffer, which what was returned is a view of.
func (r *reader) end() {
	codec.PutDecoder(r.tokens)
	r.tokens, r.data = nil, nil
	r.source.Reset(nil)
	if cap(r.out) > maxKept {
		r.out = nil
	}
	r.out = r.out[:0]
}

// at is the index of the next byte to read.
func (r *reader) at() int { return len(r.data) - r.source.Len() }

// code is the first byte of the next token; there is none at the end, and then it
// is the one that no token begins with.
func (r *reader) code() byte {
	if i := r.at(); i < len(r.data) {
		return r.data[i]
	}
	return neverUsed
}

const neverUsed = 0xc1

// byteAt is the byte that stands i behind the next one, or 0.
func (r *reader) byteAt(i int) byte {
	if i += r.at(); i < len(r.data) {
		return r.data[i]
	}
	return 0
}

func (r *reader) isNil() bool { return r.code() == msgpcode.Nil }

func (r *reader) isText() bool { return msgpcode.IsString(r.code()) }

// undefined reports whether the next value is notepack's undefined.
func (r *reader) undefined() bool { return r.code() == msgpcode.FixExt1 && r.byteAt(1) == extNotepack }

func (r *reader) skipUndefined() error {
	_, err := r.extension()
	return err
}

// ignore reads a value, checks it like any other, and leaves no trace of it.
func (r *reader) ignore() error {
	length, attachments, size, marked := len(r.out), len(r.attachments), r.size, r.marked
	_, err := r.value(0)
	r.out, r.attachments, r.size, r.marked = r.out[:length], r.attachments[:attachments], size, marked
	return err
}

// natural reads an integer that is not negative; ok is false if the next value is
// anything else.
func (r *reader) natural() (n uint64, ok bool, err error) {
	c := r.code()
	switch {
	case c <= msgpcode.PosFixedNumHigh, msgpcode.Uint8 <= c && c <= msgpcode.Uint64:
		n, err = r.tokens.DecodeUint64()
		return n, true, r.wrap(err)
	case msgpcode.Int8 <= c && c <= msgpcode.Int64:
		i, err := r.tokens.DecodeInt64()
		return uint64(max(i, 0)), i >= 0, r.wrap(err)
	}
	return 0, false, nil
}

// mapLen reads how many members the map has that comes next.
func (r *reader) mapLen() (int, error) {
	if c := r.code(); !msgpcode.IsFixedMap(c) && c != msgpcode.Map16 && c != msgpcode.Map32 {
		return 0, r.malformed("no map where there must be one")
	}
	n, err := r.tokens.DecodeMapLen()
	return n, r.wrap(err)
}

// text reads a string; it is a view of the message.
func (r *reader) text() ([]byte, error) {
	if !r.isText() {
		return nil, r.malformed("no string where there must be one")
	}
	s, err := r.bytes()
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(s) {
		return nil, r.malformed("string is not UTF-8")
	}
	return s, nil
}

// bytes reads a string or binary value; it is a view of the message.
func (r *reader) bytes() ([]byte, error) {
	n, err := r.tokens.DecodeBytesLen()
	if err != nil {
		return nil, r.wrap(err)
	}
	return r.take(n)
}

// take reads n bytes as they are.
func (r *reader) take(n int) ([]byte, error) {
	if n < 0 || n > r.source.Len() {
		return nil, r.malformed(cutShort)
	}
	from := r.at()
	if _, err := r.source.Seek(int64(n), io.SeekCurrent); err != nil {
		return nil, r.wrap(err)
	}
	return r.data[from : from+n : from+n], nil
}

// attach makes an attachment of binary data, and writes its placeholder.
func (r *reader) attach(data []byte) error {
	if len(r.attachments) >= r.limits.MaxAttachments {
		return r.malformed("too many attachments") // PAR-017
	}
	r.out = protocol.AppendPlaceholder(r.out, len(r.attachments))
	r.attachments = append(r.attachments, data)
	r.size += len(data)
	return nil
}

const cutShort = "message ends too early"

// wrap makes an error of the library one of this package.
func (r *reader) wrap(err error) error {
	if err == nil {
		return nil
	}
	if r.source.Len() == 0 {
		return r.malformed(cutShort)
	}
	return r.malformed(err.Error())
}

// quoted is how many bytes of the message an error quotes.
const quoted = 16

// malformed says what is wrong at the next byte, and quotes what stands there.
func (r *reader) malformed(what string) error {
	i := r.at()
	return fmt.Errorf("%w: %s at byte %d of %d, near % x", protocol.ErrMalformed, what, i, len(r.data), r.data[i:min(len(r.data), i+quoted)])
}
