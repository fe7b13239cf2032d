package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// answer runs a receiver at b that answers every request of subject with its data and a mark.
func answer(t *testing.T, b bus.Bus, subject, queue, mark string) (stop func()) {
	t.Helper()
	r := b.NewReceiver(bus.Control, 1024)
	check(t, "subscribe", r.Subscribe(subject, queue, func(m bus.Msg) {
		if err := b.Respond(m, append(m.Data, mark...)); err != nil {
			t.Errorf("respond: %v", err)
		}
	}))
	return run(t, r, nil)
}

func requests(t *testing.T, p Pair) {
	answer(t, p.B, "ask.*", "", "!")
	var asking sync.WaitGroup
	for asker := range 4 {
		asking.Go(func() {
			for i := range 100 {
				question := fmt.Sprintf("%d/%d", asker, i)
				got, err := p.A.Request(within(t, patience), "ask.me", []byte(question))
				if err != nil || string(got) != question+"!" {
					t.Errorf("request %s: got %q, error %v", question, got, err)
				}
			}
		})
	}
	asking.Wait()
	got, err := p.A.Request(within(t, patience), "ask.me", nil)
	if err != nil || string(got) != "!" {
		t.Errorf("request without data: got %q, error %v", got, err)
	}
}

func queueRequests(t *testing.T, p Pair) {
	const requests = 100
	var handled atomic.Int32
	for _, b := range []bus.Bus{p.A, p.B, p.B} {
		r := b.NewReceiver(bus.Control, requests)
		check(t, "subscribe", r.Subscribe("ask.group", "group", func(m bus.Msg) {
			handled.Add(1)
			if err := b.Respond(m, nil); err != nil {
				t.Errorf("respond: %v", err)
			}
		}))
		run(t, r, nil)
	}
	for range requests {
		_, err := p.A.Request(within(t, patience), "ask.group", []byte("?"))
		check(t, "request", err)
	}
	settle(t, p)
	if got := handled.Load(); got != requests {
		t.Errorf("%d requests were handled %d times", requests, got)
	}
}

func noResponders(t *testing.T, p Pair) {
	listen(t, p.B, bus.Control, "somebody.else")
	begin := time.Now()
	if _, err := p.A.Request(within(t, patience), "nobody", nil); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("request to nobody: got error %v, want %v", err, bus.ErrNoResponders)
	}
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

func requestDeadline(t *testing.T, p Pair) {
	listen(t, p.B, bus.Control, "silent")
	if _, err := p.A.Request(within(t, 20*time.Millisecond), "silent", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("request to a silent one: got error %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := p.A.Request(context.Background(), "silent", nil); !errors.Is(err, bus.ErrNoDeadline) {
		t.Errorf("request without deadline: got error %v, want %v", err, bus.ErrNoDeadline)
	}
	if err := p.A.Probe(context.Background()); !errors.Is(err, bus.ErrNoDeadline) {
		t.Errorf("probe without deadline: got error %v, want %v", err, bus.ErrNoDeadline)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cancel()
	if _, err := p.A.Request(ctx, "silent", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("request after its end: got error %v, want %v", err, context.Canceled)
	}
}

func sendNotice(t *testing.T, p Pair) {
	for name, subscribed := range map[string]string{"exact": "notice.exact", "wildcard": "notice.*"} {
		l := listen(t, p.A, bus.Data, subscribed)
		reply := "notice." + name
		check(t, "send", p.A.Send("nobody.here", reply, []byte("lost")))
		m := l.waitFor(t, 1)[0]
		if m.Subject != reply || m.Reply != "" || len(m.Data) != 0 {
			t.Errorf("notice: got subject %q, reply %q, %d bytes; want subject %q alone", m.Subject, m.Reply, len(m.Data), reply)
		}
		check(t, "send without reply", p.A.Send("nobody.here", "", []byte("lost")))
		settle(t, p)
		l.stop()
		if n := l.count(); n != 1 {
			t.Errorf("got %d notices, want 1", n)
		}
	}
}

func sendReply(t *testing.T, p Pair) {
	back := listen(t, p.A, bus.Control, "back.here")
	there := listen(t, p.B, bus.Data, "there")
	check(t, "send", p.A.Send("there", "back.here", []byte("question")))
	m := there.waitFor(t, 1)[0]
	if m.Reply != "back.here" || !bytes.Equal(m.Data, []byte("question")) {
		t.Fatalf("got reply %q, data %q", m.Reply, m.Data)
	}
	check(t, "respond", p.B.Respond(m, []byte("answer")))
	if m := back.waitFor(t, 1)[0]; string(m.Data) != "answer" {
		t.Errorf("got %q, want the answer", m.Data)
	}
}
