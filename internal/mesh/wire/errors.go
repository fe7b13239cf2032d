package wire

import "errors"

// ErrMalformed says that bytes are not what this package writes; every parse error is one. A link on which it happens is
// broken.
var ErrMalformed = errors.New("malformed")
