package bus_test

import (
	"context"
	"sync"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func BenchmarkMemoryRoundTrip1(b *testing.B) {
	m := bus.NewMemory()
	defer m.Close()
	roundTrips(b, m, m, 1)
}

func BenchmarkMemoryRoundTrip64(b *testing.B) {
	m := bus.NewMemory()
	defer m.Close()
	roundTrips(b, m, m, 64)
}

// roundTrips sends 64 bytes from a to an echo at z and back, with n of them under way at any time.
func roundTrips(b *testing.B, a, z bus.Bus, n int) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	back := make(chan struct{}, n)
	near, far := a.NewReceiver(bus.Data, 1024), z.NewReceiver(bus.Data, 1024)
	must(b, far.Subscribe("echo.there", "", func(m bus.Msg) {
		if err := z.Send("echo.back", "", m.Data); err != nil {
			b.Error(err)
		}
	}))
	must(b, near.Subscribe("echo.back", "", func(bus.Msg) { back <- struct{}{} }))
	for _, r := range []bus.Receiver{near, far} {
		running.Go(func() { must(b, r.Run(ctx)) })
	}
	data := make([]byte, 64)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i >= n {
			<-back
		}
		if err := a.Send("echo.there", "", data); err != nil {
			b.Fatal(err)
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Error(err)
	}
}
