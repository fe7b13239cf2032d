package protocol

import "bytes"

// longestReserved is the length of removeListener, and the most bytes a string of
// that length can take when every character of it is written as \uXXXX.
const (
	longestReserved    = 14
	longestReservedRaw = 6 * longestReserved
)

// Reserved reports whether name has a meaning of its own in the reference
// implementations and is therefore refused as the name of an event (PAR-011).
func Reserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}

// EventName returns the name that raw, the first element of an event, stands for:
// the string without quotes and escapes, or a number as it is written. Half a
// surrogate pair becomes U+FFFD. Anything else is an error that wraps ErrMalformed.
func EventName(raw []byte) (string, error) {
	s := scanner{text: raw}
	if len(raw) == 0 || !isName(raw[0]) {
		return "", malformed(raw, 0, "event name is neither a string nor a number")
	}
	end := s.value(0, 0)
	if end < 0 {
		return "", malformed(raw, s.faultAt, s.fault)
	}
	if end < len(raw) {
		return "", malformed(raw, end, "bytes behind the event name")
	}
	if raw[0] != '"' {
		return string(raw), nil
	}
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside), nil
	}
	return string(appendUnquoted(make([]byte, 0, len(inside)), inside)), nil
}

// isName reports whether a JSON value that begins with c can name an event.
func isName(c byte) bool { return c == '"' || c == '-' || '0' <= c && c <= '9' }

// badName tells why raw, the first element of a valid array or nothing if that is
// empty, cannot name an event, or "".
func badName(raw []byte) string {
	switch {
	case len(raw) == 0:
		return "event without a name" // PAR-014
	case !isName(raw[0]):
		return "event name is neither a string nor a number" // PAR-010
	case raw[0] == '"' && reservedRaw(raw[1:len(raw)-1]):
		return "reserved event name" // PAR-011
	}
	return ""
}

// reservedRaw is Reserved for the inside of a JSON string. It does not allocate.
func reservedRaw(inside []byte) bool {
	if len(inside) > longestReservedRaw {
		return false
	}
	if bytes.IndexByte(inside, '\\') >= 0 {
		var buf [longestReservedRaw]byte
		inside = appendUnquoted(buf[:0], inside)
	}
	return len(inside) <= longestReserved && Reserved(string(inside))
}
