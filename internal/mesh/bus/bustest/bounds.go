package bustest

import (
	"errors"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func slowReceiver(t contract) {
	const capacity, extra = 4, 95
	busy, release := make(chan struct{}), make(chan struct{})
	got := make(chan int, capacity+extra+2)
	r := t.B.NewReceiver(bus.Data, capacity)
	check(t, "subscribe", r.Subscribe("slow", "", func(m bus.Msg) {
		if numberOf(m) == 0 {
			close(busy)
			<-release
		}
		got <- numberOf(m)
	}))
	stop := run(t, r)
	fast := listen(t, t.B, bus.Data, "fast")

	check(t, "send", t.A.Send("slow", "", number(0)))
	wait(t, busy, "the first message")
	for i := range capacity + extra {
		check(t, "send", t.A.Send("slow", "", number(i+1)))
	}
	check(t, "send", t.A.Send("fast", "", nil))
	fast.waitFor(t, 1)                                                   // nobody waits for the slow one
	reaches(t, "dropped", extra, func() int { return int(r.Dropped()) }) //nolint:gosec // small
	close(release)
	for want := range capacity + 1 {
		if n := take(t, got); n != want {
			t.Errorf("got message %d, want %d", n, want)
		}
	}
	check(t, "send", t.A.Send("slow", "", number(1000)))
	if n := take(t, got); n != 1000 {
		t.Errorf("got message %d once there was room again, want 1000", n)
	}
	stop()
	if n := r.Dropped(); n != extra {
		t.Errorf("dropped %d at the end, want %d", n, extra)
	}
}

func payloads(t contract) {
	largest := make([]byte, t.A.MaxPayload())
	largest[len(largest)-1] = 7
	larger := make([]byte, len(largest)+1)
	l, c := listen(t, t.B, bus.Data, "large"), listen(t, t.B, bus.Control, "large.news")
	answer(t, t.B, "large.ask", "")
	check(t, "send the largest", t.A.Send("large", "", largest))
	check(t, "publish the largest", t.A.Publish("large.news", largest))
	answered, err := t.A.Request(within(t, patience), "large.ask", largest)
	check(t, "request with the largest", err)
	for name, got := range map[string][]byte{
		"send": l.waitFor(t, 1)[0].Data, "publish": c.waitFor(t, 1)[0].Data, "request": answered,
	} {
		if len(got) != len(largest) || got[len(got)-1] != 7 {
			t.Errorf("%s: got %d bytes, want %d as they were", name, len(got), len(largest))
		}
	}
	_, err = t.A.Request(within(t, patience), "large.ask", larger)
	for name, err := range map[string]error{
		"send":    t.A.Send("large", "", larger),
		"publish": t.A.Publish("large.news", larger),
		"respond": t.A.Respond(bus.Msg{Reply: "large"}, larger),
		"request": err,
	} {
		if !errors.Is(err, bus.ErrTooLarge) {
			t.Errorf("%s of a byte more: got error %v, want %v", name, err, bus.ErrTooLarge)
		}
	}
}

func badSubjects(t contract) {
	r := t.A.NewReceiver(bus.Data, 1)
	for _, subject := range []string{"", ".", "a.", ".a", "a..b", "a.>", ">", "a b", "a.b*", "a\nb"} {
		if err := r.Subscribe(subject, "", func(bus.Msg) {}); err == nil {
			t.Errorf("subscribe to %q: no error", subject)
		}
	}
	run(t, r)
}

func wait(tb testing.TB, c <-chan struct{}, what string) {
	tb.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		tb.Fatalf("%s has not come after %v", what, patience)
	}
}

func take[T any](tb testing.TB, c <-chan T) (got T) {
	tb.Helper()
	select {
	case got = <-c:
	case <-time.After(patience):
		tb.Fatalf("nothing has come after %v", patience)
	}
	return got
}
