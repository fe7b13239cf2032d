package bus_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/bus/bustest"
	"github.com/siomesh/siomesh/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	bustest.Run(t, func(tb testing.TB) bustest.Pair {
		tb.Helper()
		m := bus.NewMemory()
		tb.Cleanup(m.Close)
		return bustest.Pair{A: m, B: m, Close: m.Close}
	})
}

func TestNATS(t *testing.T) {
	bustest.Run(t, func(tb testing.TB) bustest.Pair {
		tb.Helper()
		s := natstest.Start(tb)
		a, b := dial(tb, s.URL()), dial(tb, s.URL())
		return bustest.Pair{A: a, B: b, Stop: s.Stop, Start: s.Restart, Close: func() { a.Close(); b.Close() }}
	})
}

func TestNATSInOneProcess(t *testing.T) {
	bustest.Run(t, func(tb testing.TB) bustest.Pair {
		tb.Helper()
		s := natstest.Start(tb)
		n := dial(tb, s.URL())
		return bustest.Pair{A: n, B: n, Stop: s.Stop, Start: s.Restart, Close: n.Close}
	})
}

func TestHybridWithinItsProcess(t *testing.T) {
	bustest.Run(t, func(tb testing.TB) bustest.Pair {
		tb.Helper()
		s := natstest.Start(tb)
		h, stop := hybrid(tb, s.URL())
		return bustest.Pair{A: h, B: h, Stop: s.Stop, Start: s.Restart, Close: stop}
	})
}

func TestHybridBetweenProcesses(t *testing.T) {
	bustest.Run(t, func(tb testing.TB) bustest.Pair {
		tb.Helper()
		s := natstest.Start(tb)
		a, stopA := hybrid(tb, s.URL())
		b, stopB := hybrid(tb, s.URL())
		return bustest.Pair{A: a, B: b, Stop: s.Stop, Start: s.Restart, Close: func() { stopA(); stopB() }}
	})
}

func TestHybridToPlainNATS(t *testing.T) {
	bustest.Run(t, func(tb testing.TB) bustest.Pair {
		tb.Helper()
		s := natstest.Start(tb)
		a, stop := hybrid(tb, s.URL())
		b := dial(tb, s.URL())
		return bustest.Pair{A: a, B: b, Stop: s.Stop, Start: s.Restart, Close: func() { stop(); b.Close() }}
	})
}

func dial(tb testing.TB, url string) *bus.NATS {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := bus.Dial(ctx, url, bus.NATSOptions{Name: "app-0123456789"})
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	tb.Cleanup(n.Close)
	return n
}

func hybrid(tb testing.TB, url string) (h *bus.Hybrid, stop func()) {
	tb.Helper()
	m, n := bus.NewMemory(), dial(tb, url)
	tb.Cleanup(m.Close)
	return bus.NewHybrid(m, n), func() { m.Close(); n.Close() }
}
