package bus_test

import (
	"context"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/bus/bustest"
)

func TestFaultyWithoutFaults(t *testing.T) {
	bustest.Run(t, func(tb testing.TB) bustest.Pair {
		tb.Helper()
		n := bustest.NewNetwork(1, bustest.Faults{})
		a, b := n.Process("a"), n.Process("b")
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }() // the cleanup waits for it
		tb.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				tb.Errorf("Run: %v", err)
			}
			n.Close()
		})
		return bustest.Pair{
			A: a, B: b,
			Stop:  func() { a.Cut(); b.Cut() },
			Start: func() { a.Heal(); b.Heal() },
			Close: func() { a.Kill(); b.Kill() },
		}
	})
}
