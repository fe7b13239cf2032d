package socketio

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
)

// What comes at the deadline, or is seen later than it, because nobody had the time to look.

// TestSilentAtTheDeadline shows that clients which said nothing in time are not taken for gone, though their edges say so too.
func TestSilentAtTheDeadline(t *testing.T) {
	_, s, _, _ := serve(t, nothing)
	k := s.asks.add(1, 0)
	k.update(func() {
		k.named = true
		e := k.edge(mesh.NewInstanceID())
		e.named = true
		k.end(e, []string{"silent"})
	})
	for name, deadline := range map[string]time.Time{"passed": time.Now().Add(-time.Second), "ahead": time.Now().Add(time.Hour)} {
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		k.update(func() {})
		want := ErrDisconnected
		if name == "passed" {
			want = ErrTimeout
		}
		_, end, missing := k.take(s.await(ctx, k.wake))
		if !end || missing == nil || !errors.Is(missing, want) {
			t.Errorf("deadline %s: got %v, %v, want %v", name, end, missing, want)
		}
	}
}

// late is a context that ends when the test says so.
type late struct {
	context.Context //nolint:containedctx // it is one
	over            chan struct{}
}

func (l late) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }
func (l late) Done() <-chan struct{}       { return l.over }
func (l late) Err() error {
	select {
	case <-l.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// TestAnswerAtTheDeadline shows that answers which come as the time ends are not lost.
func TestAnswerAtTheDeadline(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	c := r.join(s, "/")
	eventually(t, "rooms is known", func() bool { return c.credited() && unconfirmed(s) == 0 })
	ctx := late{context.Background(), make(chan struct{})}
	type result struct {
		replies []ServerReply
		err     error
	}
	got := make(chan result, 1)
	go func() { // ends with ctx
		replies, err := s.ServerSideEmitWithAck(ctx, "e")
		got <- result{replies, err}
	}()
	var k *poll
	eventually(t, "the question", func() bool {
		s.polls.mu.Lock()
		defer s.polls.mu.Unlock()
		for _, k = range s.polls.open {
		}
		return k != nil
	})
	eventually(t, "nothing on its way", func() bool { return unconfirmed(s) == 0 && len(k.wake) == 0 })
	k.update(func(k *poll) {
		k.targets, k.replies = map[string]bool{"other": false}, []ServerReply{{Instance: "other"}}
		close(ctx.over)
	})
	if r := receive(t, "the answer", got); r.err != nil || len(r.replies) != 1 {
		t.Errorf("got %v, %v, want one answer", r.replies, r.err)
	}
}
