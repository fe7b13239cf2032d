package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestFrameVectors(t *testing.T) {
	vectors := golden(t, "frames.txt")
	if len(vectors) != len(frames) {
		t.Errorf("got %d vectors in testdata, want %d", len(vectors), len(frames))
	}
	for _, tc := range frames {
		t.Run(tc.name, func(t *testing.T) {
			want := vectors[tc.name]
			if got := tc.frame.Append(nil); !bytes.Equal(got, want) {
				t.Fatalf("encoded: got %x, want %x", got, want)
			}
			f, err := ParseFrame(want)
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			if len(f.Records) == 0 {
				f.Records = nil
			}
			if !reflect.DeepEqual(f, tc.frame) {
				t.Errorf("parsed: got %+v, want %+v", f, tc.frame)
			}
		})
	}
}

func TestFramePrefixesFail(t *testing.T) {
	for name, b := range golden(t, "frames.txt") {
		if name == "refused" {
			b = b[:HeaderLen] // a reason has no length
		}
		for n := range b {
			if _, err := readFrame(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s cut to %d bytes: got %v, want ErrMalformed", name, n, err)
			}
		}
		if n, err := readFrame(append(bytes.Clone(b), 1)); name != "refused" && name != "ended" && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s and one byte: got %d records and %v, want ErrMalformed", name, n, err)
		}
	}
}

func TestFrameRefused(t *testing.T) {
	valid := golden(t, "frames.txt")
	for _, tc := range []struct {
		name, of string
		change   func(b []byte)
	}{
		{"version 0", "data", func(b []byte) { b[0] = 0 }},
		{"version 2", "data", func(b []byte) { b[0] = 2 }},
		{"kind 0", "data", func(b []byte) { b[1] = 0 }},
		{"kind 4", "mark", func(b []byte) { b[1] = 4 }},
		{"unknown flag", "mark", func(b []byte) { b[2] = 2 }},
		{"sender", "mark", func(b []byte) { b[5] = '.' }},
		{"data of link 0", "data", func(b []byte) { b[16] = 0 }},
		{"data from record 0", "data", func(b []byte) { b[24] = 0 }},
		{"data without records", "data", func(b []byte) { b[46] = 0 }},
		{"sequence overflow", "data", func(b []byte) { copy(b[17:], bytes.Repeat([]byte{0xff}, 8)) }},
		{"gap of no link", "data", func(b []byte) { b[2] = 1 }},
		{"mark of no link", "data", func(b []byte) { b[36] = 1 }},
		{"mark frame of no link", "ask for the first", func(b []byte) { b[2], b[28] = 0, 0 }},
		{"mark with a link", "mark", func(b []byte) { b[16] = 1 }},
		{"mark with a sequence", "mark", func(b []byte) { b[24] = 1 }},
		{"break of nothing", "ended", func(b []byte) { b[16] = 0 }},
		{"break with records", "ended", func(b []byte) { b[46] = 1 }},
	} {
		b := bytes.Clone(valid[tc.of])
		tc.change(b)
		if _, err := ParseFrame(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", tc.name, err)
		}
	}
	long := Frame{Kind: FrameBreak, Sender: app1, Link: 1, Records: make([]byte, MaxReason+1)}
	if _, err := ParseFrame(long.Append(nil)); !errors.Is(err, ErrMalformed) {
		t.Errorf("long reason: got %v, want ErrMalformed", err)
	}
}

func TestFrameAllocs(t *testing.T) {
	buffer := frameOf(16).Append(nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = readFrame(buffer) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func FuzzFrame(f *testing.F) {
	for _, b := range golden(f, "frames.txt") {
		f.Add(b)
	}
	f.Add(frameOf(3).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := ParseFrame(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			return
		}
		if got := frame.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("encoded again: got %x, want %x", got, b)
		}
		if _, err := readFrame(b); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("records: got %v, want ErrMalformed", err)
		}
	})
}

func BenchmarkFrame16(b *testing.B) {
	f := frameOf(16)
	buffer := f.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if n, err := readFrame(buffer); n != 16 || err != nil {
			b.Fatal(n, err)
		}
	}
}

// frameOf returns a data frame of n records.
func frameOf(n int) *Frame {
	f := &Frame{Kind: FrameData, Sender: app1, Link: 1, First: 1, Count: n}
	for range n {
		f.Records = records[2].record.Append(f.Records)
	}
	return f
}

// readFrame reads a whole frame and returns the number of its records.
func readFrame(b []byte) (int, error) {
	f, err := ParseFrame(b)
	if err != nil || f.Kind == FrameBreak {
		return 0, err
	}
	var r Record
	for n := 0; ; n++ {
		if more, err := f.Next(&r); !more || err != nil {
			return n, err
		}
	}
}
