package tunnel

import (
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// FuzzRecord: whatever a peer sends, it breaks its own link at most.
func FuzzRecord(f *testing.F) {
	for _, body := range []string{"", "\x00", "\x02head", "\x03data", "\x02\x80\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"} {
		for kind := wire.KindStreamOpen; kind <= wire.KindStreamCredit; kind++ {
			f.Add(uint8(kind), uint8(0), []byte(body))
			f.Add(uint8(kind), uint8(wire.FlagClose), []byte(body))
		}
	}
	a, b := newPair(f, Config{Window: 64, MaxStreams: 8})
	f.Fuzz(func(t *testing.T, kind, flags uint8, body []byte) {
		_, _ = a.mux.Open(t.Context(), b.self, nil, false)
		done := make(chan struct{})
		a.links.Do(func() {
			defer close(done)
			_ = a.mux.Record(b.self, &wire.Record{Kind: wire.Kind(kind), Flags: wire.Flags(flags), Body: body})
			a.mux.EndFrame()
		})
		<-done
		for len(a.accepted) > 0 {
			<-a.accepted
			<-a.heads
		}
		for len(b.accepted) > 0 {
			<-b.accepted
			<-b.heads
		}
	})
}
