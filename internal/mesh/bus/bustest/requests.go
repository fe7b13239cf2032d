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
func answer(tb testing.TB, b bus.Bus, subject, mark string) (stop func()) {
	tb.Helper()
	r := b.NewReceiver(bus.Control, 1024)
	check(tb, "subscribe", r.Subscribe(subject, "", func(m bus.Msg) {
		if err := b.Respond(m, append(m.Data, mark...)); err != nil {
			tb.Errorf("respond: %v", err)
		}
	}))
	return run(tb, r)
}

func requests(t contract) {
	answer(t, t.B, "ask.*", "!")
	var asking sync.WaitGroup
	for asker := range 4 {
		asking.Go(func() {
			for i := range 100 {
				question := fmt.Sprintf("%d/%d", asker, i)
				got, err := t.A.Request(within(t, patience), "ask.me", []byte(question))
				if err != nil || string(got) != question+"!" {
					t.Errorf("request %s: got %q, error %v", question, got, err)
				}
			}
		})
	}
	asking.Wait()
	got, err := t.A.Request(within(t, patience), "ask.me", nil)
	if err != nil || string(got) != "!" {
		t.Errorf("request without data: got %q, error %v", got, err)
	}
}

func queueRequests(t contract) {
	const requests = 100
	var handled atomic.Int32
	for _, b := range []bus.Bus{t.A, t.B, t.B} {
		r := b.NewReceiver(bus.Control, requests)
		check(t, "subscribe", r.Subscribe("ask.group", "group", func(m bus.Msg) {
			handled.Add(1)
			if err := b.Respond(m, nil); err != nil {
				t.Errorf("respond: %v", err)
			}
		}))
		run(t, r)
	}
	for range requests {
		_, err := t.A.Request(within(t, patience), "ask.group", []byte("?"))
		check(t, "request", err)
	}
	settle(t, t.Pair)
	if got := handled.Load(); got != requests {
		t.Errorf("%d requests were handled %d times", requests, got)
	}
}

func noResponders(t contract) {
	listen(t, t.B, bus.Control, "somebody.else")
	begin := time.Now()
	if _, err := t.A.Request(within(t, patience), "nobody", nil); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("request to nobody: got error %v, want %v", err, bus.ErrNoResponders)
	}
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

func requestDeadline(t contract) {
	listen(t, t.B, bus.Control, "silent")
	if _, err := t.A.Request(within(t, 20*time.Millisecond), "silent", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("request to a silent one: got error %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := t.A.Request(context.Background(), "silent", nil); !errors.Is(err, bus.ErrNoDeadline) {
		t.Errorf("request without deadline: got error %v, want %v", err, bus.ErrNoDeadline)
	}
	if err := t.A.Probe(context.Background()); !errors.Is(err, bus.ErrNoDeadline) {
		t.Errorf("probe without deadline: got error %v, want %v", err, bus.ErrNoDeadline)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cancel()
	if _, err := t.A.Request(ctx, "silent", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("request after its end: got error %v, want %v", err, context.Canceled)
	}
}

func sendNotice(t contract) {
	for name, subscribed := range map[string]string{"exact": "notice.exact", "wildcard": "notice.*"} {
		l := listen(t, t.A, bus.Data, subscribed)
		reply := "notice." + name
		check(t, "send", t.A.Send("nobody.here", reply, []byte("lost")))
		m := l.waitFor(t, 1)[0]
		if m.Subject != reply || m.Reply != "" || len(m.Data) != 0 {
			t.Errorf("notice: got subject %q, reply %q, %d bytes; want subject %q alone", m.Subject, m.Reply, len(m.Data), reply)
		}
		check(t, "send without reply", t.A.Send("nobody.here", "", []byte("lost")))
		settle(t, t.Pair)
		l.stop()
		if n := l.count(); n != 1 {
			t.Errorf("got %d notices, want 1", n)
		}
	}
}

func sendReply(t contract) {
	back := listen(t, t.A, bus.Control, "back.here")
	there := listen(t, t.B, bus.Data, "there")
	check(t, "send", t.A.Send("there", "back.here", []byte("question")))
	m := there.waitFor(t, 1)[0]
	if m.Reply != "back.here" || !bytes.Equal(m.Data, []byte("question")) {
		t.Fatalf("got reply %q, data %q", m.Reply, m.Data)
	}
	check(t, "respond", t.B.Respond(m, []byte("answer")))
	if m := back.waitFor(t, 1)[0]; string(m.Data) != "answer" {
		t.Errorf("got %q, want the answer", m.Data)
	}
}
