package socketio

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// Binary inside an argument that is decoded into maps and structs: each placeholder becomes the base64 string that
// encoding/json decodes into a []byte, also through a type's own UnmarshalJSON. To know such a string from others where it
// ends up in an any, it begins with a sequence of line breaks that is drawn anew for every argument: base64 ignores them.

const (
	placeholderWord = "_placeholder"
	signLen         = 48
)

// mayHoldPlaceholder is quick and says yes too often: a key may be written with escapes.
func mayHoldPlaceholder(raw []byte) bool {
	return bytes.Contains(raw, []byte(placeholderWord)) || bytes.IndexByte(raw, '\\') >= 0
}

// bindNested decodes an argument in which placeholders may stand.
func (a Args) bindNested(raw []byte, target any) error {
	sign := newSign()
	if err := json.Unmarshal(a.inline(raw, sign), target); err != nil {
		return err
	}
	r := restorer{sign: sign, seen: map[address]struct{}{}}
	_, err := r.restore(reflect.ValueOf(target))
	return err
}

// newSign returns a sequence of line breaks of 48 random bits.
func newSign() string {
	var sign [signLen]byte
	bits := rand.Uint64()
	for i := range sign {
		sign[i] = '\n'
		if bits>>i&1 == 1 {
			sign[i] = '\r'
		}
	}
	return string(sign[:])
}

// inline returns raw with every placeholder replaced by a string: sign and base64.
func (a Args) inline(raw []byte, sign string) []byte {
	escaped := strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(sign)
	out := make([]byte, 0, len(raw)+len(a.attachments)*(2*signLen))
	return a.replace(out, raw, func(out []byte, n int) []byte {
		out = append(append(out, '"'), escaped...)
		out = base64.StdEncoding.AppendEncode(out, a.attachments[n])
		return append(out, '"')
	})
}

// replace appends raw to dst with put called for every placeholder of an attachment, to append what stands in its place.
func (a Args) replace(dst, raw []byte, put func(dst []byte, n int) []byte) []byte {
	for i := 0; i < len(raw); {
		end := i + 1
		switch raw[i] {
		case '"':
			end = stringEnd(raw, i)
		case '{':
			closing := i + bytes.IndexByte(raw[i:], '}') + 1 // nothing is nested in a placeholder
			if n, ok := protocol.Placeholder(raw[i:closing]); ok && n < len(a.attachments) {
				dst = put(dst, n)
				i = closing
				continue
			}
		}
		dst = append(dst, raw[i:end]...)
		i = end
	}
	return dst
}

// stringEnd returns the index behind the JSON string that begins at i.
func stringEnd(raw []byte, i int) int {
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

// restorer turns signed strings in a decoded value into binary.
type restorer struct {
	sign string
	seen map[address]struct{} // targets may refer to themselves
}

// restore restores what is in v, and reports whether v, if it cannot be changed itself, must be replaced by the result.
func (r *restorer) restore(v reflect.Value) (replacement reflect.Value, err error) {
	none := reflect.Value{}
	switch v.Kind() {
	case reflect.String:
		if strings.HasPrefix(v.String(), r.sign) {
			return none, fmt.Errorf("%w: %s", errBinary, v.Type())
		}
	case reflect.Interface:
		return r.dynamic(v)
	case reflect.Pointer:
		if !v.IsNil() && !r.known(v) {
			_, err = r.restore(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if _, err = r.restore(v.Field(i)); err != nil {
				return none, err
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 || v.Kind() == reflect.Slice && r.known(v) {
			return none, nil
		}
		for i := range v.Len() {
			if _, err = r.restore(v.Index(i)); err != nil {
				return none, err
			}
		}
	case reflect.Map:
		if !v.IsNil() && !r.known(v) {
			err = r.values(v)
		}
	default:
	}
	return none, err
}

// dynamic restores what an interface holds.
func (r *restorer) dynamic(v reflect.Value) (replacement reflect.Value, err error) {
	if v.IsNil() {
		return reflect.Value{}, nil
	}
	inner := v.Elem()
	if inner.Kind() != reflect.String {
		return r.restore(inner)
	}
	text, ok := strings.CutPrefix(inner.String(), r.sign)
	if !ok {
		return reflect.Value{}, nil
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return reflect.Value{}, fmt.Errorf("decode attachment: %w", err)
	}
	replacement = reflect.ValueOf(data)
	if !replacement.Type().AssignableTo(v.Type()) {
		return reflect.Value{}, fmt.Errorf("%w: %s", errBinary, v.Type())
	}
	if v.CanSet() {
		v.Set(replacement)
	}
	return replacement, nil
}

// values restores the values of a map, which are not addressable.
func (r *restorer) values(m reflect.Value) error {
	for iter := m.MapRange(); iter.Next(); {
		value := iter.Value()
		if k := value.Kind(); k == reflect.Struct || k == reflect.Array {
			copied := reflect.New(value.Type()).Elem()
			copied.Set(value)
			if _, err := r.restore(copied); err != nil {
				return err
			}
			m.SetMapIndex(iter.Key(), copied)
			continue
		}
		replacement, err := r.restore(value)
		if err != nil {
			return err
		}
		if replacement.IsValid() {
			m.SetMapIndex(iter.Key(), replacement)
		}
	}
	return nil
}

func (r *restorer) known(v reflect.Value) bool {
	a := addressOf(v)
	_, ok := r.seen[a]
	r.seen[a] = struct{}{}
	return ok
}
