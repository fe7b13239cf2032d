package msgpack_test

import (
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/pkg/protocol/msgpack"
)

// The workloads are those of package protocol.
type workload struct {
	name, wire  string
	attachments [][]byte
}

func workloads() []workload {
	return []workload{
		{"event64", `212["chat message",{"room":"lobby","text":"hello you","n":42.5}]`, nil},
		{"event1k", `2["chat message",{"room":"lobby","text":"` + strings.Repeat("lorem ipsum ", 80) + `"}]`, nil},
		{"numbers1k", `2["points",[` + strings.Repeat(`[1,-20.5],`, 95) + `[0,0]]]`, nil},
		{"binary1k", `51-["file",{"name":"a.png","body":{"_placeholder":true,"num":0}}]`, [][]byte{make([]byte, 1024)}},
	}
}

func (w workload) packet(tb testing.TB) protocol.Packet {
	tb.Helper()
	p, err := protocol.Parse([]byte(w.wire), protocol.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func (w workload) messagePack(tb testing.TB) []byte {
	tb.Helper()
	wire, err := msgpack.Append(nil, w.packet(tb), w.attachments)
	if err != nil {
		tb.Fatal(err)
	}
	return wire
}

func BenchmarkBinary(b *testing.B) {
	for _, w := range workloads() {
		wire := w.messagePack(b)
		b.Run(w.name, func(b *testing.B) {
			d := msgpack.NewDecoder(protocol.Limits{})
			b.ReportAllocs()
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				if _, _, _, err := d.Binary(wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, w := range workloads() {
		p := w.packet(b)
		b.Run(w.name, func(b *testing.B) {
			var dst []byte
			var err error
			b.ReportAllocs()
			for b.Loop() {
				if dst, err = msgpack.Append(dst[:0], p, w.attachments); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}

// A small event is read without a byte on the heap.
func TestBinaryAllocations(t *testing.T) {
	w := workloads()[0]
	wire, d := w.messagePack(t), msgpack.NewDecoder(protocol.Limits{})
	got := testing.AllocsPerRun(100, func() {
		if _, _, _, err := d.Binary(wire); err != nil {
			t.Fatal(err)
		}
	})
	if got > 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}
