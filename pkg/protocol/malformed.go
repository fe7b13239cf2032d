package protocol

import (
	"errors"
	"fmt"
)

// ErrMalformed is what every error of this package wraps. The reference reacts to
// each of them in one way: it closes the connection (PAR-028).
var ErrMalformed = errors.New("malformed packet")

// How much of the input around the fault an error quotes, in bytes.
const (
	quoteBefore = 16
	quoteAfter  = 32
)

// malformed says what is wrong at byte at of text, and quotes what stands there.
func malformed(text []byte, at int, what string) error {
	at = min(at, len(text))
	from, to := max(0, at-quoteBefore), min(len(text), at+quoteAfter)
	return fmt.Errorf("%w: %s at byte %d of %d, near %q", ErrMalformed, what, at, len(text), text[from:to])
}
