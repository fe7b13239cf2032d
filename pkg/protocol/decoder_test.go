package protocol_test

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// PAR-005, PAR-006, PAR-007: every vector passes through a Decoder, with its
// attachments, and comes out only with the last of them.
func TestDecoderVectors(t *testing.T) {
	var zero protocol.Decoder
	for _, d := range []*protocol.Decoder{&zero, protocol.NewDecoder(protocol.Limits{})} {
		for _, v := range vectors(t) {
			text := []byte(v.Wire)
			p, complete, err := d.Text(text)
			if err != nil || complete != (v.Attachments == 0) {
				t.Fatalf("%s: Text(%q): complete %v, %v", v.Name, v.Wire, complete, err)
			}
			if !complete {
				scribble(text) // the caller may reuse what it handed over
			}
			for i := range v.Attachments {
				data := []byte{byte(i), 0xff}
				var got [][]byte
				p, got, complete, err = d.Binary(data)
				if err != nil || complete != (i == v.Attachments-1) {
					t.Fatalf("%s: attachment %d: complete %v, %v", v.Name, i, complete, err)
				}
				if !complete {
					scribble(data)
					continue
				}
				for k, a := range got {
					if want := []byte{byte(k), 0xff}; !bytes.Equal(a, want) {
						t.Errorf("%s: attachment %d = %v, want %v", v.Name, k, a, want)
					}
				}
				if len(got) != v.Attachments {
					t.Errorf("%s: %d attachments, want %d", v.Name, len(got), v.Attachments)
				}
			}
			if want := v.packet(t); !reflect.DeepEqual(p, want) {
				t.Errorf("%s:\n got %s\nwant %s", v.Name, show(p), show(want))
			}
		}
	}
}

func scribble(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

// PAR-020: a binary message needs a packet that announced it.
func TestBinaryWithoutHeader(t *testing.T) {
	d := protocol.NewDecoder(protocol.Limits{})
	binaryRefused(t, d, "x", "without a packet that announced it")
	mustText(t, d, `2["a"]`, true)
	binaryRefused(t, d, "x", "without a packet that announced it")
	mustText(t, d, `51-["a"]`, false)
	if _, _, complete, err := d.Binary(nil); !complete || err != nil {
		t.Errorf("empty attachment: complete %v, %v", complete, err)
	}
	binaryRefused(t, d, "x", "without a packet that announced it")
}

// PAR-021: no text message comes between a packet and its attachments.
func TestTextWhileAttachmentsAreMissing(t *testing.T) {
	d := protocol.NewDecoder(protocol.Limits{})
	mustText(t, d, `53-["a"]`, false)
	if _, _, complete, err := d.Binary([]byte("x")); complete || err != nil {
		t.Fatalf("first attachment: complete %v, %v", complete, err)
	}
	textRefused(t, d, `2["b"]`, "while 2 of 3 attachments are missing")
	// After an error nothing is held.
	binaryRefused(t, d, "x", "without a packet that announced it")
	mustText(t, d, `2["b"]`, true)
}

// PAR-022: after Reset the next message begins a packet.
func TestReset(t *testing.T) {
	d := protocol.NewDecoder(protocol.Limits{})
	d.Reset()
	mustText(t, d, `51-["hello"]`, false)
	d.Reset()
	mustText(t, d, `2["hello"]`, true)
	mustText(t, d, `51-["hello"]`, false)
	d.Reset()
	binaryRefused(t, d, "x", "without a packet that announced it")
}

func TestMalformedTextLeavesNothing(t *testing.T) {
	d := protocol.NewDecoder(protocol.Limits{})
	for _, wire := range []string{"", "9", `2["a"`, `51-["connect"]`, `511-["a"]`} {
		textRefused(t, d, wire, "")
		binaryRefused(t, d, "x", "without a packet that announced it")
	}
}

func TestDecoderLimits(t *testing.T) {
	d := protocol.NewDecoder(protocol.Limits{MaxAttachments: 2, MaxDepth: 2})
	textRefused(t, d, `53-["a"]`, "too many attachments") // PAR-017
	textRefused(t, d, `2["a",[[]]]`, "nested too deep")

	const text = `52-["a"]`
	d = protocol.NewDecoder(protocol.Limits{MaxBytes: len(text) + 4})
	textRefused(t, d, `51-["`+strings.Repeat("a", 16)+`"]`, "more than the 12 allowed")
	mustText(t, d, `2["`+strings.Repeat("a", 16)+`"]`, true) // nothing is held for this one
	mustText(t, d, text, false)
	if _, _, _, err := d.Binary([]byte("1234")); err != nil {
		t.Fatalf("attachment up to the limit: %v", err)
	}
	if p, got, complete, err := d.Binary(nil); !complete || err != nil || len(got) != 2 || len(p.Data) != 5 {
		t.Fatalf("up to the limit: %s %q complete %v, %v", show(p), got, complete, err)
	}
	mustText(t, d, text, false)
	if _, _, _, err := d.Binary([]byte("1234")); err != nil {
		t.Fatalf("attachment up to the limit: %v", err)
	}
	binaryRefused(t, d, "5", "take 13 bytes, more than the 12 allowed")
	binaryRefused(t, d, "x", "without a packet that announced it")
}

// The limit on the number of attachments is generous here; what is announced must
// not be paid for in advance.
func TestAnnouncedAttachmentsAreNotAllocated(t *testing.T) {
	d := protocol.NewDecoder(protocol.Limits{MaxAttachments: 1_000_000})
	const text = `51000000-["a"]`
	const rounds = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		mustText(t, d, text, false)
		d.Reset()
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / rounds; got > 1024 {
		t.Errorf("announcing a million attachments takes %d bytes, want at most 1024", got)
	}
}

func mustText(tb testing.TB, d *protocol.Decoder, wire string, want bool) {
	tb.Helper()
	if _, complete, err := d.Text([]byte(wire)); err != nil || complete != want {
		tb.Fatalf("Text(%q): complete %v, %v; want complete %v", wire, complete, err, want)
	}
}

func textRefused(tb testing.TB, d *protocol.Decoder, wire, want string) {
	tb.Helper()
	p, complete, err := d.Text([]byte(wire))
	if complete || !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), want) {
		tb.Errorf("Text(%q) = %s, complete %v, %v; want ErrMalformed saying %q", wire, show(p), complete, err, want)
	}
}

func binaryRefused(tb testing.TB, d *protocol.Decoder, data, want string) {
	tb.Helper()
	p, got, complete, err := d.Binary([]byte(data))
	if complete || got != nil || !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), want) {
		tb.Errorf("Binary(%q) = %s, %q, complete %v, %v; want ErrMalformed saying %q", data, show(p), got, complete, err, want)
	}
}
