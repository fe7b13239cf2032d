package bus

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"
)

// requests are the ones that wait for an answer inside the process.
type requests struct {
	last    atomic.Uint64
	mu      sync.Mutex
	waiting map[string]chan []byte // by inbox; guarded by mu
}

func (r *requests) open() (inbox string, answer chan []byte) {
	inbox = memoryInbox + strconv.FormatUint(r.last.Add(1), 36)
	answer = make(chan []byte, 1) // so that the one who answers never waits
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[inbox] = answer
	return inbox, answer
}

func (r *requests) close(inbox string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, inbox)
}

// answer gives the first answer to the one who waits; later ones and late ones are nobody's.
func (r *requests) answer(inbox string, data []byte) {
	r.mu.Lock()
	waiting := r.waiting[inbox]
	delete(r.waiting, inbox)
	r.mu.Unlock()
	if waiting != nil {
		waiting <- bytes.Clone(data)
	}
}
