package wire

import "encoding/binary"

// Selector names the recipients of a broadcast inside the record's namespace: the union of Rooms (everybody if empty) without
// the union of Except. A socket id is a room.
//
//	selector: rooms strings | except strings
//	strings:  count uvarint | length uvarint, bytes …
type Selector struct {
	Rooms  []string
	Except []string
}

// AppendStrings appends an encoded list to dst.
func AppendStrings(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// ParseStrings reads the list that fills body; nil for an empty one.
func ParseStrings(body []byte) ([]string, error) {
	list, err := ReadStrings(body)
	if err != nil {
		return nil, err
	}
	return list.strings(), nil
}

// AppendSelector appends an encoded selector to dst.
func AppendSelector(dst []byte, s Selector) []byte {
	return AppendStrings(AppendStrings(dst, s.Rooms), s.Except)
}

// ParseSelector reads a selector from the start of body and returns what follows it, for KindBroadcast the packet.
func ParseSelector(body []byte) (s Selector, rest []byte, err error) {
	rooms, except, rest, err := ReadSelector(body)
	if err != nil {
		return Selector{}, nil, err
	}
	return Selector{Rooms: rooms.strings(), Except: except.strings()}, rest, nil
}

// ReadSelector is ParseSelector without allocating: both lists are views of body.
func ReadSelector(body []byte) (rooms, except StringsView, rest []byte, err error) {
	if rooms, rest, err = stringsView(body); err != nil {
		return StringsView{}, StringsView{}, nil, err
	}
	if except, rest, err = stringsView(rest); err != nil {
		return StringsView{}, StringsView{}, nil, err
	}
	return rooms, except, rest, nil
}

// ReadStrings is ParseStrings without allocating: the list is a view of body.
func ReadStrings(body []byte) (StringsView, error) {
	list, rest, err := stringsView(body)
	if err != nil {
		return StringsView{}, err
	}
	if len(rest) > 0 {
		return StringsView{}, malformed("bytes after a list")
	}
	return list, nil
}

// StringsView is a checked list that was not decoded. Being a value, it can be walked again from a copy.
type StringsView struct {
	left  int
	bytes []byte // the strings that are left, each with its length
}

// Len returns the number of strings that are left.
func (l StringsView) Len() int { return l.left }

// Next returns the next string as a view, and whether there was one.
func (l *StringsView) Next() ([]byte, bool) {
	if l.left == 0 {
		return nil, false
	}
	s, rest, ok := block(l.bytes)
	if !ok { // cannot be: checked before
		l.left = 0
		return nil, false
	}
	l.left, l.bytes = l.left-1, rest
	return s, true
}

// strings decodes what is left, with one copy of the bytes for all strings.
func (l StringsView) strings() []string {
	if l.left == 0 {
		return nil
	}
	list := make([]string, 0, l.left)
	all := string(l.bytes)
	for at := 0; l.left > 0; {
		before := len(l.bytes)
		s, _ := l.Next()
		at += before - len(l.bytes)
		list = append(list, all[at-len(s):at])
	}
	return list
}

// stringsView checks a list at the start of b and returns it with what follows.
func stringsView(b []byte) (list StringsView, rest []byte, err error) {
	count, b, ok := uvarint(b)
	if !ok || count > uint64(len(b)) {
		return StringsView{}, nil, malformed("list")
	}
	rest = b
	for range count {
		if _, rest, ok = block(rest); !ok {
			return StringsView{}, nil, malformed("string in a list")
		}
	}
	return StringsView{left: int(count), bytes: b[:len(b)-len(rest)]}, rest, nil
}
