package link

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// AppendWait is Append that waits for room until ctx ends, and flushes what is there meanwhile. Those who wait are served
// in turn, before any Append. It must not be called on the reader goroutine.
func (l *Link) AppendWait(ctx context.Context, r *wire.Record) (uint64, error) {
	l.mu.Lock()
	if len(l.waiters) == 0 || r.Flags&wire.FlagControl != 0 {
		seq, err := l.append(r)
		if !errors.Is(err, ErrFull) {
			l.mu.Unlock()
			return seq, err
		}
	}
	turn := make(chan struct{}, 1)
	l.waiters = append(l.waiters, turn)
	l.mu.Unlock()
	l.Flush()
	for {
		if seq, err := l.appendInTurn(turn, r); !errors.Is(err, ErrFull) {
			return seq, err
		}
		select {
		case <-turn:
		case <-ctx.Done():
			l.mu.Lock()
			l.leave(turn)
			l.mu.Unlock()
			return 0, fmt.Errorf("wait for room in the link: %w", context.Cause(ctx))
		}
	}
}

// appendInTurn appends for a waiter if it is its turn. ErrFull says that it goes on waiting.
func (l *Link) appendInTurn(turn chan struct{}, r *wire.Record) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil && l.waiters[0] != turn {
		return 0, ErrFull
	}
	seq, err := l.append(r)
	if !errors.Is(err, ErrFull) {
		l.leave(turn)
	}
	return seq, err
}

// leave takes a waiter out and lets the next one try. It is called with the lock held.
func (l *Link) leave(turn chan struct{}) {
	if i := slices.Index(l.waiters, turn); i >= 0 {
		l.waiters = slices.Delete(l.waiters, i, i+1)
	}
	l.wakeFirst()
}

// wakeFirst lets the one who waits longest try. It is called with the lock held.
func (l *Link) wakeFirst() {
	if len(l.waiters) > 0 {
		wake(l.waiters[0])
	}
}

// wake makes the owner of a channel with room for one look again.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
