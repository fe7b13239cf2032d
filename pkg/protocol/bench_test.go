package protocol_test

import (
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
)

type workload struct{ name, wire string }

// event64 is the packet the budget is written for: 64 bytes, an id, two arguments.
const event64 = `212["chat message",{"room":"lobby","text":"hello you","n":42.5}]`

const binaryEvent = `51-["file",{"name":"a.png","body":{"_placeholder":true,"num":0}}]`

func workloads() []workload {
	return []workload{
		{"connect", `0/admin,{"token":"123"}`},
		{"event64", event64},
		{"event1k", `2["chat message",{"room":"lobby","text":"` + strings.Repeat("lorem ipsum ", 80) + `"}]`},
		{"numbers1k", `2["points",[` + strings.Repeat(`[1,-20.5],`, 95) + `[0,0]]]`},
		{"cyrillic1k", `2["chat",{"text":"` + strings.Repeat("съешь ещё ", 54) + `"}]`},
		{"ack", `3456["ok",{"status":1}]`},
		{"binary", binaryEvent},
	}
}

func BenchmarkParse(b *testing.B) {
	for _, w := range workloads() {
		b.Run(w.name, func(b *testing.B) {
			text := []byte(w.wire)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := protocol.Parse(text, protocol.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	p, err := protocol.Parse([]byte(event64), protocol.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		dst = protocol.Append(dst[:0], p)
	}
}

func BenchmarkDecoderBinary(b *testing.B) {
	text, data := []byte(binaryEvent), make([]byte, 1024)
	var d protocol.Decoder
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Text(text); err != nil {
			b.Fatal(err)
		}
		if _, _, complete, err := d.Binary(data); !complete {
			b.Fatal(err)
		}
	}
}

func BenchmarkElements(b *testing.B) {
	array := []byte(event64)[3:]
	dst := make([][]byte, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		dst = protocol.Elements(dst[:0], array)
	}
}

// The path of every packet allocates nothing.
func TestNoAllocations(t *testing.T) {
	zero := func(name string, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s: %v allocations, want none", name, got)
		}
	}
	var d protocol.Decoder
	dst, elements := make([]byte, 0, 4096), make([][]byte, 0, 128)
	escaped := workload{"escaped name", `2["\u0063onnecte\u0064",{"\u005fplaceholder":1}]`}
	for _, w := range append(workloads(), escaped) {
		text := []byte(w.wire)
		p, err := protocol.Parse(text, protocol.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		zero("Parse "+w.name, func() { _, err = protocol.Parse(text, protocol.Limits{}) })
		zero("Append "+w.name, func() { dst = protocol.Append(dst[:0], p) })
		zero("Elements "+w.name, func() { elements = protocol.Elements(elements[:0], p.Data) })
		zero("Valid "+w.name, func() { err = protocol.Valid(text[len(text)-len(p.Data):], 0) })
		if p.Attachments == 0 {
			zero("Text "+w.name, func() { _, _, err = d.Text(text) })
		}
	}
	placeholder := protocol.AppendPlaceholder(nil, 3)
	zero("Placeholder", func() { _, _ = protocol.Placeholder(placeholder) })
	zero("AppendPlaceholder", func() { dst = protocol.AppendPlaceholder(dst[:0], 3) })
}
