package protocol

// What Limits stand for when they are left at zero. Ten attachments is the limit
// of the reference parser (PAR-017).
const (
	DefaultMaxAttachments = 10
	DefaultMaxDepth       = 100
)

// maxNesting is the depth no limit can exceed. It keeps the stack of the scanner
// small, and is the one encoding/json has.
const maxNesting = 10000

// maxAnnounced is the number of attachments no limit can exceed.
const maxAnnounced = 1_000_000

// Limits bound what one packet may ask of its receiver. The zero value stands for
// the defaults.
type Limits struct {
	// MaxAttachments is the highest number of attachments a packet may announce.
	// Zero or less means DefaultMaxAttachments; more than a million means a million.
	MaxAttachments int
	// MaxDepth is how many arrays and objects may be nested in a payload, the
	// array of an event counted. Zero or less means DefaultMaxDepth; more than
	// 10000 means 10000.
	MaxDepth int
	// MaxBytes bounds what a Decoder gathers for one packet with attachments: the
	// bytes of its text and of all its attachments together. Zero or less means no
	// limit. Parse ignores it.
	MaxBytes int
}

// WithDefaults returns l with what its zero fields stand for, and no limit higher
// than it can be. It is for parsers beside this package.
func (l Limits) WithDefaults() Limits {
	if l.MaxAttachments <= 0 {
		l.MaxAttachments = DefaultMaxAttachments
	}
	l.MaxAttachments = min(l.MaxAttachments, maxAnnounced)
	l.MaxDepth = nesting(l.MaxDepth)
	return l
}

func nesting(depth int) int {
	if depth <= 0 {
		return DefaultMaxDepth
	}
	return min(depth, maxNesting)
}
