package socketio

import (
	"bytes"
	"crypto/rand"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

// Binary inside other values: encoding/json alone knows the rules for fields, tags, embedding and order, so it does the
// encoding. The value is copied as far as needed, with every []byte replaced by a short marker that nobody can guess;
// encoding/json writes the markers in base64; then each is replaced by a placeholder, in the order of the text.

var errCycle = errors.New("value contains itself")

// search appends a value that encoding/json encodes, after a search for binary.
func (c *encoder) search(dst []byte, attachments [][]byte, v reflect.Value) ([]byte, [][]byte, error) {
	if !c.mayHoldBinary(v.Type()) || !(&finder{c: c}).find(v) {
		dst, err := appendJSON(dst, v.Interface())
		return dst, attachments, err
	}
	m := marker{c: c, path: map[address]struct{}{}}
	rand.Read(m.secret[:])
	copied := reflect.New(v.Type()).Elem()
	copied.Set(v)
	if err := m.mark(copied); err != nil {
		return dst, attachments, err
	}
	text, err := appendJSON(nil, copied.Interface())
	if err != nil {
		return dst, attachments, err
	}
	dst, attachments = m.place(dst, attachments, text)
	return dst, attachments, nil
}

// isBinary reports whether values of t are sent as attachments: what encoding/json would write in base64.
func isBinary(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && !encodesItself(t) && !encodesItself(t.Elem())
}

func encodesItself(t reflect.Type) bool {
	for _, t := range [...]reflect.Type{t, reflect.PointerTo(t)} {
		if t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			return true
		}
	}
	return false
}

// mayHoldBinary reports whether a value of type t can have binary in it.
func (c *encoder) mayHoldBinary(t reflect.Type) bool {
	if may, ok := c.types.Load(t); ok {
		return may == true
	}
	may := reaches(t, map[reflect.Type]bool{})
	c.types.Store(t, may)
	return may
}

func reaches(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Slice:
		return isBinary(t) || !encodesItself(t) && reaches(t.Elem(), seen)
	case reflect.Pointer, reflect.Array, reflect.Map:
		return !encodesItself(t) && reaches(t.Elem(), seen)
	case reflect.Struct:
		if encodesItself(t) {
			return false
		}
		for i := range t.NumField() {
			if reaches(t.Field(i).Type, seen) {
				return true
			}
		}
	default:
	}
	return false
}

// address identifies what a pointer, map or slice refers to.
type address struct {
	t reflect.Type
	p uintptr
	n int
}

func addressOf(v reflect.Value) address {
	a := address{t: v.Type(), p: v.Pointer()}
	if v.Kind() == reflect.Slice {
		a.n = v.Len()
	}
	return a
}

// finder looks for binary without copying anything. It remembers where it was once it has seen enough to suspect a cycle.
type finder struct {
	c     *encoder
	steps int
	seen  map[address]struct{}
}

func (f *finder) find(v reflect.Value) bool {
	t := v.Type()
	if !f.c.mayHoldBinary(t) || f.known(v) {
		return false
	}
	switch t.Kind() {
	case reflect.Interface, reflect.Pointer:
		return !v.IsNil() && f.find(v.Elem())
	case reflect.Slice, reflect.Array:
		if isBinary(t) {
			return !v.IsNil()
		}
		for i := range v.Len() {
			if f.find(v.Index(i)) {
				return true
			}
		}
	case reflect.Map:
		for iter := v.MapRange(); iter.Next(); {
			if f.find(iter.Value()) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f.find(v.Field(i)) {
				return true
			}
		}
	default:
	}
	return false
}

func (f *finder) known(v reflect.Value) bool {
	const enough = 1000
	if f.steps++; f.steps < enough {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
	default:
		return false
	}
	a := addressOf(v)
	if _, ok := f.seen[a]; ok {
		return true
	}
	if f.seen == nil {
		f.seen = map[address]struct{}{}
	}
	f.seen[a] = struct{}{}
	return false
}

// marker replaces binary by markers: secret, then a number of three bytes, which is 16 and 4 characters of base64.
type marker struct {
	c      *encoder
	secret [12]byte
	found  [][]byte
	path   map[address]struct{} // what leads to the value at hand
}

// mark replaces what is binary in v, which is a copy that may be changed, but only itself: not what it refers to.
func (m *marker) mark(v reflect.Value) error {
	t := v.Type()
	if !m.c.mayHoldBinary(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return m.fields(v, t)
	case reflect.Array:
		return m.elements(v)
	default:
	}
	if !v.CanSet() || v.IsNil() {
		return nil
	}
	if isBinary(t) {
		n := len(m.found)
		m.found = append(m.found, v.Bytes())
		v.SetBytes(append(m.secret[:len(m.secret):len(m.secret)], byte(n>>16), byte(n>>8), byte(n)))
		return nil
	}
	if t.Kind() != reflect.Interface {
		a := addressOf(v)
		if _, ok := m.path[a]; ok {
			return errCycle
		}
		m.path[a] = struct{}{}
		defer delete(m.path, a)
	}
	return m.refers(v, t)
}

// refers gives v, an interface, pointer, slice or map, a marked copy of what it refers to.
func (m *marker) refers(v reflect.Value, t reflect.Type) error {
	switch t.Kind() {
	case reflect.Interface:
		inner := reflect.New(v.Elem().Type()).Elem()
		inner.Set(v.Elem())
		if err := m.mark(inner); err != nil {
			return err
		}
		v.Set(inner)
	case reflect.Pointer:
		inner := reflect.New(t.Elem())
		inner.Elem().Set(v.Elem())
		if err := m.mark(inner.Elem()); err != nil {
			return err
		}
		v.Set(inner.Convert(t))
	case reflect.Slice:
		inner := reflect.MakeSlice(t, v.Len(), v.Len())
		reflect.Copy(inner, v)
		if err := m.elements(inner); err != nil {
			return err
		}
		v.Set(inner)
	case reflect.Map:
		inner := reflect.MakeMapWithSize(t, v.Len())
		for iter := v.MapRange(); iter.Next(); {
			value := reflect.New(t.Elem()).Elem()
			value.Set(iter.Value())
			if err := m.mark(value); err != nil {
				return err
			}
			inner.SetMapIndex(iter.Key(), value)
		}
		v.Set(inner)
	default:
	}
	return nil
}

func (m *marker) elements(v reflect.Value) error {
	for i := range v.Len() {
		if err := m.mark(v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (m *marker) fields(v reflect.Value, t reflect.Type) error {
	for i := range t.NumField() {
		f, field := v.Field(i), t.Field(i)
		if !field.IsExported() && !field.Anonymous {
			continue
		}
		if isBinary(field.Type) && f.Len() == 0 && strings.Contains(field.Tag.Get("json"), ",omitempty") {
			continue // encoding/json leaves it out
		}
		if err := m.mark(f); err != nil {
			return err
		}
	}
	return nil
}

// place appends text to dst with placeholders for the markers.
func (m *marker) place(dst []byte, attachments [][]byte, text []byte) ([]byte, [][]byte) {
	const numberLen = 4
	sign := []byte(`"` + base64.StdEncoding.EncodeToString(m.secret[:]))
	for {
		at := bytes.Index(text, sign)
		if at < 0 {
			return append(dst, text...), attachments
		}
		dst = append(dst, text[:at]...)
		text = text[at+len(sign):]
		var number [3]byte
		// Both were made here, so neither the length nor the number can be wrong.
		if _, err := base64.StdEncoding.Decode(number[:], text[:numberLen]); err == nil {
			n := int(number[0])<<16 | int(number[1])<<8 | int(number[2])
			dst, attachments = appendBinary(dst, attachments, m.found[n])
		}
		text = text[numberLen+1:] // and the closing quote
	}
}
