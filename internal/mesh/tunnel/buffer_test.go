package tunnel

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestBuffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b buffer
		var want bytes.Buffer
		next := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				p := make([]byte, rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 2*smallPiece)).Draw(t, "add"))
				for i := range p {
					next++
					p[i] = next
				}
				b.add(p)
				want.Write(p)
			},
			"read": func(t *rapid.T) {
				p := make([]byte, rapid.IntRange(0, 3*smallPiece).Draw(t, "read"))
				if got, want := p[:b.read(p)], want.Next(len(p)); !bytes.Equal(got, want) {
					t.Fatalf("got %d bytes %x, want %d bytes %x", len(got), got, len(want), want)
				}
			},
			"": func(t *rapid.T) {
				if b.size != want.Len() {
					t.Fatalf("size %d, want %d", b.size, want.Len())
				}
				if b.size == 0 && (b.head != nil || b.tail != nil) {
					t.Fatal("an empty buffer holds something")
				}
			},
		})
	})
}

// A peer that sends byte by byte costs no more memory than one that does not.
func TestSmallPiecesArePutTogether(t *testing.T) {
	var b buffer
	for range 64 << 10 {
		b.add([]byte{1})
	}
	held := cap(b.head)
	for _, p := range b.tail {
		held += cap(p)
	}
	if held > 128<<10 || len(b.tail) > 16 {
		t.Errorf("%d bytes are held in %d pieces for %d", held, len(b.tail)+1, b.size)
	}
}
