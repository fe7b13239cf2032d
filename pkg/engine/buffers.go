package engine

import "sync"

// bufferSize is the size of the buffers lent to reads and writes.
const bufferSize = 32 << 10

// bufferPools lends buffers for the time of one read, write or request body.
type bufferPools struct{ pool sync.Pool }

func (p *bufferPools) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, bufferSize)
	return &b
}

func (p *bufferPools) put(b *[]byte) { p.pool.Put(b) }
