package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestRecordVectors(t *testing.T) {
	vectors := golden(t, "records.txt")
	if len(vectors) != len(records) {
		t.Errorf("got %d vectors in testdata, want %d", len(vectors), len(records))
	}
	for _, tc := range records {
		t.Run(tc.name, func(t *testing.T) {
			want := vectors[tc.name]
			got := tc.record.Append([]byte("before"))
			if !bytes.Equal(got, append([]byte("before"), want...)) {
				t.Fatalf("encoded: got %x, want %x", got[6:], want)
			}
			if got := tc.record.Size(); got != len(want) {
				t.Errorf("Size: got %d, want %d", got, len(want))
			}
			if len(want) > tc.record.MaxSize() {
				t.Errorf("MaxSize: got %d for %d bytes", tc.record.MaxSize(), len(want))
			}
			var r Record
			r.Seq = 12345 // must be overwritten
			rest, err := r.Parse(append(want, "after"...))
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			if string(rest) != "after" {
				t.Errorf("rest: got %q, want %q", rest, "after")
			}
			if !sameRecord(r, tc.record) {
				t.Errorf("parsed: got %+v, want %+v", r, tc.record)
			}
		})
	}
}

func TestRecordPrefixesFail(t *testing.T) {
	for name, b := range golden(t, "records.txt") {
		for n := range b {
			var r Record
			if _, err := r.Parse(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s cut to %d bytes: got %v, want ErrMalformed", name, n, err)
			}
		}
	}
}

func TestRecordRefused(t *testing.T) {
	socket := "Edge000001"
	for _, tc := range []struct{ name, wire string }{
		{"unknown kind", "\xc8\x00\x00\x00"},
		{"reserved kind", "\x0f\x00\x00\x00"},
		{"kind 0", "\x00\x00\x00\x00"},
		{"unknown field", "\x01\x00\x80\x80\x02\x01x\x00"},
		{"long form of fields", "\x01\x00\x80\x00\x00"},
		{"long form of body length", "\x01\x00\x00\x81\x00x"},
		{"overflowing number", "\x01\x00\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00"},
		{"bad edge id", "\x01\x00\x01Edge 00001\x01\x01\x00"},
		{"zero edge id", "\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00"},
		{"slot above 32 bits", "\x01\x00\x01" + socket + "\x80\x80\x80\x80\x10\x01\x00"},
		{"generation above 32 bits", "\x01\x00\x01" + socket + "\x01\x80\x80\x80\x80\x10\x00"},
		{"empty namespace", "\x01\x00\x02\x00\x00"},
		{"namespace without slash", "\x01\x00\x02\x01a\x00"},
		{"zero seq", "\x01\x00\x04\x00\x00"},
		{"zero handled", "\x01\x00\x08\x00\x00"},
		{"zero epoch", "\x01\x00\x10\x00\x00"},
		{"bad origin", "\x01\x00\x20App-000001\x00"},
		{"partition 64", "\x01\x00\x40\x40\x00"},
		{"zero partition without op", "\x01\x00\x40\x00\x00"},
		{"op without partition", "\x01\x00\x80\x02\x05\x00"},
		{"zero ack", "\x01\x00\x80\x04\x00\x00"},
		{"id not digits", "\x01\x00\x80\x08\x021a\x00"},
		{"fragment of one", "\x01\x00\x80\x10\x00\x01\x00"},
		{"fragment past the last", "\x01\x00\x80\x10\x02\x02\x00"},
		{"empty offset", "\x01\x00\x80\x20\x00\x00"},
		{"zero lease", "\x01\x00\x80\x40\x00\x00"},
		{"broken extension", "\x01\x00\x80\x80\x01\x02\x01\x05\x00"},
		{"extension without length", "\x01\x00\x80\x80\x01\x01\x81\x00"},
	} {
		var r Record
		if _, err := r.Parse([]byte(tc.wire)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", tc.name, err)
		}
	}
}

func TestRecordSkippable(t *testing.T) {
	var r Record
	// Kind 200 with seq and the unknown fields of bits 15 and 17.
	rest, err := r.Parse([]byte("\xc8\x01\x84\x80\x0a\x03\x01a\x02bc\x04bodyafter"))
	if err != nil || string(rest) != "after" {
		t.Fatalf("got rest %q and %v, want %q", rest, err, "after")
	}
	if r.Seq != 3 || string(r.Body) != "body" || r.Kind.Known() {
		t.Errorf("got %+v, want the known fields of an unknown kind", r)
	}
}

func TestKinds(t *testing.T) {
	known := 0
	for k := range 256 {
		if Kind(k).Known() {
			known++
		}
	}
	if want := 47; known != want {
		t.Errorf("known kinds: got %d, want %d", known, want)
	}
}

func TestExtension(t *testing.T) {
	r := Record{Ext: AppendExt(AppendExt(nil, 9, []byte("nine")), ExtTrace, []byte("trace"))}
	if v, ok := r.Extension(ExtTrace); !ok || string(v) != "trace" {
		t.Errorf("got %q, %v, want %q", v, ok, "trace")
	}
	if v, ok := r.Extension(3); ok {
		t.Errorf("got %q for a type that is not there", v)
	}
	if _, ok := (&Record{Ext: []byte{1, 9}}).Extension(9); ok {
		t.Error("found something in a broken area")
	}
}

func TestRecordAllocs(t *testing.T) {
	everything := records[10].record
	buffer := everything.Append(nil)
	var r Record
	if n := testing.AllocsPerRun(100, func() { buffer = everything.Append(buffer[:0]) }); n != 0 {
		t.Errorf("Append: got %v allocations, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = r.Parse(buffer) }); n != 0 {
		t.Errorf("Parse: got %v allocations, want 0", n)
	}
}

func FuzzRecord(f *testing.F) {
	for _, b := range golden(f, "records.txt") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		rest, err := r.Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			return
		}
		read, got := b[:len(b)-len(rest)], r.Append(nil)
		if len(got) != r.Size() || len(got) > r.MaxSize() {
			t.Fatalf("got Size %d and MaxSize %d for %d bytes", r.Size(), r.MaxSize(), len(got))
		}
		if len(got) < len(read) && r.Flags&FlagSkippable != 0 {
			return // fields of later versions are not kept
		}
		if !bytes.Equal(got, read) {
			t.Fatalf("encoded again: got %x, want %x", got, read)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	r := records[2].record
	r.Body = bytes.Repeat([]byte("x"), 64)
	buffer := r.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		buffer = r.Append(buffer[:0])
		if _, err := r.Parse(buffer); err != nil {
			b.Fatal(err)
		}
	}
}

// sameRecord takes nil and empty byte slices as the same.
func sameRecord(a, b Record) bool {
	for _, r := range []*Record{&a, &b} {
		for _, field := range []*[]byte{&r.Namespace, &r.ID, &r.Offset, &r.Ext, &r.Body} {
			if len(*field) == 0 {
				*field = nil
			}
		}
	}
	return reflect.DeepEqual(a, b)
}
