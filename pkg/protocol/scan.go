package protocol

// Valid checks that json is one JSON value as RFC 8259 describes it, in UTF-8,
// nested no deeper than maxDepth arrays and objects (zero or less means
// DefaultMaxDepth), with nothing but white space around it. It is what a payload
// that comes from an application has to pass before it is put into a packet. It
// accepts what encoding/json.Valid accepts, except strings that are not UTF-8. An
// error wraps ErrMalformed.
func Valid(json []byte, maxDepth int) error {
	s := scanner{text: json, maxDepth: nesting(maxDepth)}
	end := s.value(s.space(0), 0)
	if end < 0 {
		return malformed(json, s.faultAt, s.fault)
	}
	if rest := s.space(end); rest < len(json) {
		return malformed(json, rest, "bytes behind the value")
	}
	return nil
}

// scanner walks over JSON once and builds nothing. Its methods take the index of
// the first byte of what they read and return the index behind it, or -1 after
// they noted the fault. It lives on the stack of its caller.
type scanner struct {
	text     []byte
	maxDepth int
	// attachments above zero means: the text belongs to a binary packet with so
	// many of them, and every placeholder has to name one. At zero placeholders
	// are plain data.
	attachments int

	// Where the first element of the outermost array stands; equal if it is empty.
	firstStart, firstEnd int

	fault   string
	faultAt int
}

const cutShort = "JSON ends too early"

func (s *scanner) fail(at int, what string) int {
	if at >= len(s.text) {
		what = cutShort
	}
	s.fault, s.faultAt = what, at
	return -1
}

// value reads the value that begins at i, inside of depth arrays and objects.
func (s *scanner) value(i, depth int) int {
	if i >= len(s.text) {
		return s.fail(i, cutShort)
	}
	switch s.text[i] {
	case '"':
		return s.str(i)
	case '{':
		return s.object(i, depth+1)
	case '[':
		return s.array(i, depth+1)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number(i)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	}
	return s.fail(i, "no JSON value")
}

func (s *scanner) array(i, depth int) int {
	if depth > s.maxDepth {
		return s.fail(i, "JSON nested too deep")
	}
	i = s.space(i + 1)
	if i < len(s.text) && s.text[i] == ']' {
		if depth == 1 {
			s.firstStart, s.firstEnd = i, i
		}
		return i + 1
	}
	for first := depth == 1; ; first = false {
		end := s.value(i, depth)
		if end < 0 {
			return end
		}
		if first {
			s.firstStart, s.firstEnd = i, end
		}
		i = s.space(end)
		if i >= len(s.text) {
			return s.fail(i, cutShort)
		}
		switch s.text[i] {
		case ',':
			i = s.space(i + 1)
		case ']':
			return i + 1
		default:
			return s.fail(i, "no comma or bracket behind an array element")
		}
	}
}

func (s *scanner) object(start, depth int) int {
	if depth > s.maxDepth {
		return s.fail(start, "JSON nested too deep")
	}
	i := s.space(start + 1)
	if i < len(s.text) && s.text[i] == '}' {
		return i + 1
	}
	var h holder
	for {
		if i >= len(s.text) || s.text[i] != '"' {
			return s.fail(i, "no key where an object needs one")
		}
		key := i
		keyEnd := s.str(i)
		if keyEnd < 0 {
			return keyEnd
		}
		i = s.space(keyEnd)
		if i >= len(s.text) || s.text[i] != ':' {
			return s.fail(i, "no colon behind a key")
		}
		val := s.space(i + 1)
		end := s.value(val, depth)
		if end < 0 {
			return end
		}
		if s.attachments > 0 {
			h.member(s.text[key+1:keyEnd-1], s.text[val:end])
		}
		i = s.space(end)
		if i >= len(s.text) {
			return s.fail(i, cutShort)
		}
		switch s.text[i] {
		case ',':
			i = s.space(i + 1)
		case '}':
			if h.marked && !h.names(s.attachments) {
				return s.fail(start, "illegal attachments: placeholder names none of them") // PAR-019
			}
			return i + 1
		default:
			return s.fail(i, "no comma or brace behind an object member")
		}
	}
}

func (s *scanner) number(i int) int {
	if s.text[i] == '-' {
		i++
	}
	end := digits(s.text, i)
	if end == i {
		return s.fail(i, "number without digits")
	}
	if s.text[i] == '0' && end > i+1 {
		return s.fail(i, "number with a leading zero")
	}
	i = end
	if i < len(s.text) && s.text[i] == '.' {
		if end = digits(s.text, i+1); end == i+1 {
			return s.fail(end, "number without digits behind the point")
		}
		i = end
	}
	if i < len(s.text) && s.text[i]|0x20 == 'e' {
		i++
		if i < len(s.text) && (s.text[i] == '+' || s.text[i] == '-') {
			i++
		}
		if end = digits(s.text, i); end == i {
			return s.fail(end, "number without digits in the exponent")
		}
		i = end
	}
	return i
}

func (s *scanner) literal(i int, word string) int {
	end := i + len(word)
	if end > len(s.text) || string(s.text[i:end]) != word {
		return s.fail(i, "no JSON value")
	}
	return end
}

// space returns the index of the first byte from i on that is not white space.
func (s *scanner) space(i int) int {
	for i < len(s.text) && (s.text[i] == ' ' || s.text[i] == '\n' || s.text[i] == '\t' || s.text[i] == '\r') {
		i++
	}
	return i
}
