package wire

import "errors"

// ErrMalformed says that bytes are not what this package writes; every parse error is one.
var ErrMalformed = errors.New("malformed")
