package protocol

import (
	"bytes"
	"math"
	"strconv"
)

// A placeholder stands in the JSON of a binary packet where an attachment belongs:
// {"_placeholder":true,"num":0}, the keys in any order, nothing else beside them.
const (
	placeholderKey = "_placeholder"
	numKey         = "num"
)

// AppendPlaceholder appends to dst the placeholder for attachment num, counted
// from zero, and returns the extended slice.
func AppendPlaceholder(dst []byte, num int) []byte {
	dst = append(dst, `{"`+placeholderKey+`":true,"`+numKey+`":`...)
	dst = strconv.AppendInt(dst, int64(num), 10)
	return append(dst, '}')
}

// Placeholder reports whether raw, one JSON value, is exactly a placeholder, and
// for which attachment, counted from zero. It says no to anything that is not
// JSON. Whether the packet has so many attachments, Parse has checked.
func Placeholder(raw []byte) (num int, ok bool) {
	s := scanner{text: raw, maxDepth: 1}
	start := s.space(0)
	if start == len(raw) || raw[start] != '{' {
		return 0, false
	}
	var h holder
	for i := start; ; {
		key := s.space(i + 1)
		if key == len(raw) || raw[key] != '"' {
			return 0, false
		}
		keyEnd := s.str(key)
		if keyEnd < 0 {
			return 0, false
		}
		colon := s.space(keyEnd)
		if colon == len(raw) || raw[colon] != ':' {
			return 0, false
		}
		val := s.space(colon + 1)
		end := s.value(val, 1) // depth is used up: a nested value is no placeholder
		if end < 0 {
			return 0, false
		}
		h.member(raw[key+1:keyEnd-1], raw[val:end])
		if i = s.space(end); i == len(raw) {
			return 0, false
		}
		if raw[i] == '}' {
			ok = h.marked && h.names(math.MaxInt) && s.space(i+1) == len(raw)
			return h.index(), ok
		}
		if raw[i] != ',' || h.members == 2 {
			return 0, false
		}
	}
}

// holder gathers what decides whether an object is a placeholder while its members
// go by. Of a key written twice the last counts, as for JSON.parse.
type holder struct {
	members int
	marked  bool // "_placeholder" is true
	next    int  // "num" + 1; zero if it is missing or no index
}

func (h *holder) member(key, value []byte) {
	h.members++
	switch {
	case keyIs(key, placeholderKey):
		h.marked = string(value) == "true"
	case keyIs(key, numKey):
		h.next = index(value) + 1
	}
}

// names reports whether a marked object is a placeholder for one of n attachments.
func (h *holder) names(n int) bool { return h.members == 2 && 0 < h.next && h.next <= n }

func (h *holder) index() int { return max(0, h.next-1) }

// keyIs reports whether the inside of a valid JSON string stands for want.
func keyIs(inside []byte, want string) bool {
	if len(inside) < len(want) || len(inside) > 6*len(want) {
		return false
	}
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside) == want
	}
	var buf [6 * len(placeholderKey)]byte
	return string(appendUnquoted(buf[:0], inside)) == want
}

// index returns the value of a JSON number written in digits alone, or -1 if it is
// anything else or far too large.
func index(value []byte) int {
	const most = 9 // digits: fits in an int everywhere
	if len(value) == 0 || len(value) > most || digits(value, 0) != len(value) {
		return -1
	}
	n := 0
	for _, c := range value {
		n = n*10 + int(c-'0')
	}
	return n
}
