package link

import "github.com/siomesh/siomesh/internal/mesh/wire"

// Batch collects the links that one piece of input dirtied - a read of a client, a received frame, a handler's return - so
// that each is flushed once at its end. The zero value is ready. Not safe for concurrent use.
type Batch struct{ links []*Link }

// Append appends r to l and remembers l.
func (b *Batch) Append(l *Link, r *wire.Record) error {
	if _, err := l.Append(r); err != nil {
		return err
	}
	b.Add(l)
	return nil
}

// Add remembers a link that was appended to elsewhere.
func (b *Batch) Add(l *Link) {
	for _, known := range b.links {
		if known == l {
			return
		}
	}
	b.links = append(b.links, l)
}

// Flush flushes the links and forgets them.
func (b *Batch) Flush() {
	for i, l := range b.links {
		l.Flush()
		b.links[i] = nil
	}
	b.links = b.links[:0]
}
