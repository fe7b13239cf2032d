package tunnel

// buffer holds bytes that were received and not read, in pieces as they came; small ones are put together, so that it takes
// hardly more memory than it holds bytes. An empty one holds nothing.
type buffer struct {
	head []byte
	tail [][]byte
	size int
}

// smallPiece is up to how many bytes pieces are put together.
const smallPiece = 4 << 10

func (b *buffer) add(p []byte) {
	if len(p) == 0 {
		return
	}
	last := &b.head
	if n := len(b.tail); n > 0 {
		last = &b.tail[n-1]
	}
	if b.size == 0 || len(*last)+len(p) <= smallPiece {
		*last = append(*last, p...)
	} else {
		b.tail = append(b.tail, append([]byte(nil), p...))
	}
	b.size += len(p)
}

func (b *buffer) read(p []byte) (n int) {
	for n < len(p) && b.size > 0 {
		copied := copy(p[n:], b.head)
		n += copied
		b.size -= copied
		if b.head = b.head[copied:]; len(b.head) > 0 {
			return n
		}
		b.head = nil
		if len(b.tail) > 0 {
			b.head, b.tail[0] = b.tail[0], nil
			if b.tail = b.tail[1:]; len(b.tail) == 0 {
				b.tail = nil
			}
		}
	}
	return n
}
