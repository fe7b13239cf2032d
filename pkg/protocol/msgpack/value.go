package msgpack

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

const placeholderKey = "_placeholder"

// value reads one value, inside of depth arrays and maps, and appends its JSON. If
// it is an array, first is where its first element has gone.
func (r *reader) value(depth int) (first span, err error) {
	c := r.code()
	switch {
	case msgpcode.IsString(c):
		var s []byte
		if s, err = r.text(); err == nil {
			r.out = appendQuoted(r.out, s)
		}
	case msgpcode.IsFixedNum(c), msgpcode.Uint8 <= c && c <= msgpcode.Int64:
		err = r.integer(c)
	case msgpcode.IsFixedMap(c), c == msgpcode.Map16, c == msgpcode.Map32:
		err = r.object(depth + 1)
	case msgpcode.IsFixedArray(c), c == msgpcode.Array16, c == msgpcode.Array32:
		return r.array(depth + 1)
	case msgpcode.IsBin(c):
		var b []byte
		if b, err = r.bytes(); err == nil {
			err = r.attach(b)
		}
	case msgpcode.IsExt(c):
		err = r.extended()
	default:
		err = r.simple(c)
	}
	if err != nil {
		return span{}, err
	}
	return span{}, r.fits()
}

// fits returns an error if the packet has become too large.
func (r *reader) fits() error {
	if most := r.limits.MaxBytes; most > 0 && len(r.out)+r.size > most {
		return r.malformed("JSON and attachments take more than the " + strconv.Itoa(most) + " bytes allowed")
	}
	return nil
}

func (r *reader) simple(c byte) error {
	switch c {
	case msgpcode.Float, msgpcode.Double:
		f, err := r.tokens.DecodeFloat64()
		if err != nil {
			return r.wrap(err)
		}
		r.out = appendFloat(r.out, f)
		return nil
	case msgpcode.Nil:
		r.out = append(r.out, "null"...)
		return r.wrap(r.tokens.DecodeNil())
	case msgpcode.True, msgpcode.False:
		b, err := r.tokens.DecodeBool()
		r.out = strconv.AppendBool(r.out, b)
		return r.wrap(err)
	}
	if r.source.Len() == 0 {
		return r.malformed(cutShort)
	}
	return r.malformed("no msgpack value")
}

func (r *reader) integer(c byte) error {
	if msgpcode.Uint8 <= c && c <= msgpcode.Uint64 {
		n, err := r.tokens.DecodeUint64()
		r.out = strconv.AppendUint(r.out, n, 10)
		return r.wrap(err)
	}
	n, err := r.tokens.DecodeInt64()
	r.out = strconv.AppendInt(r.out, n, 10)
	return r.wrap(err)
}

func (r *reader) array(depth int) (first span, err error) {
	if depth > r.limits.MaxDepth {
		return first, r.malformed("nested too deep")
	}
	n, err := r.tokens.DecodeArrayLen()
	if err != nil {
		return first, r.wrap(err)
	}
	r.out = append(r.out, '[')
	for i := range n {
		if i > 0 {
			r.out = append(r.out, ',')
		}
		from := len(r.out)
		if r.undefined() { // as JSON.stringify writes it: PAR-027
			r.out = append(r.out, "null"...)
			err = r.skipUndefined()
		} else {
			_, err = r.value(depth)
		}
		if err != nil {
			return first, err
		}
		if i == 0 {
			first = span{from, len(r.out)}
		}
	}
	r.out = append(r.out, ']')
	return first, r.fits()
}

func (r *reader) object(depth int) error {
	if depth > r.limits.MaxDepth {
		return r.malformed("nested too deep")
	}
	n, err := r.mapLen()
	if err != nil {
		return err
	}
	r.out = append(r.out, '{')
	empty := true
	for range n {
		key, err := r.text()
		if err != nil {
			return err
		}
		if r.undefined() { // as JSON.stringify leaves it out: PAR-027
			if err := r.skipUndefined(); err != nil {
				return err
			}
			continue
		}
		if !empty {
			r.out = append(r.out, ',')
		}
		empty = false
		r.out = append(appendQuoted(r.out, key), ':')
		r.marked = r.marked || r.code() == msgpcode.True && string(key) == placeholderKey
		if _, err := r.value(depth); err != nil {
			return err
		}
	}
	r.out = append(r.out, '}')
	return nil
}

// The types of extensions.
const (
	extNotepack  = 0 // undefined, a Date or an ArrayBuffer: the size says which
	extTimestamp = -1
)

// extension is a value of a type that msgpack itself does not have.
type extension struct {
	code byte // how it is written
	kind int8
	data []byte
}

func (r *reader) extension() (extension, error) {
	x := extension{code: r.code()}
	var (
		n   int
		err error
	)
	if x.kind, n, err = r.tokens.DecodeExtHeader(); err != nil {
		return x, r.wrap(err)
	}
	x.data, err = r.take(n)
	return x, err
}

// extended reads an extension and appends its JSON.
func (r *reader) extended() error {
	x, err := r.extension()
	if err != nil {
		return err
	}
	switch {
	case x.kind == extNotepack && x.code == msgpcode.FixExt8:
		r.out = appendDate(r.out, int64(binary.BigEndian.Uint64(x.data))) //nolint:gosec // it is signed
		return nil
	case x.kind == extNotepack && (x.code == msgpcode.Ext8 || x.code == msgpcode.Ext16 || x.code == msgpcode.Ext32):
		return r.attach(x.data)
	case x.kind == extTimestamp:
		if ms, ok := timestamp(x.data); ok {
			r.out = appendDate(r.out, ms)
			return nil
		}
	}
	return r.malformed("extension of type " + strconv.Itoa(int(x.kind)) + " and " + strconv.Itoa(len(x.data)) + " bytes")
}

// appendFloat appends a number as JSON.stringify writes it, but for the sign of a
// zero, which is kept.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...) // PAR-027
	}
	const least, most = 1e-6, 1e21
	if abs := math.Abs(f); abs == 0 || least <= abs && abs < most {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' { // e-09 is e-9
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// appendQuoted appends UTF-8 text as a JSON string.
func appendQuoted(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, text[from:]...), '"')
}
