package link

import (
	"bytes"
	"errors"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestSplitAndReassemble(t *testing.T) {
	const size = 1000
	for _, body := range []int{0, 700, 900, 990, 1000, 2000, 123456} {
		s := newSender(load{10, 1}) // larger than the window: nothing else is outstanding
		r := &wire.Record{Kind: wire.KindBroadcast, Flags: wire.FlagVolatile, Namespace: []byte("/n"), Op: 9}
		r.Body = bytes.Repeat([]byte("b"), body)
		if err := s.appendSplit(r, size, 1<<20); err != nil {
			t.Fatalf("body of %d: %v", body, err)
		}
		want := 1
		if whole := r.Size(); whole > size {
			want = (whole + size - 1) / size
		}
		if got := int(s.appended); got != want {
			t.Errorf("body of %d: got %d records, want %d", body, got, want)
		}
		if err := s.appendSplit(r, size, 1<<20); !errors.Is(err, ErrFull) {
			t.Errorf("second body of %d: got %v, want ErrFull", body, err)
		}
		got := reassemble(t, s)
		if got.Kind != r.Kind || got.Flags != r.Flags || got.Op != r.Op || string(got.Namespace) != "/n" || !bytes.Equal(got.Body, r.Body) {
			t.Errorf("body of %d: got %d bytes of kind %d back", body, len(got.Body), got.Kind)
		}
	}
}

// reassemble reads all frames of s, which are one record.
func reassemble(tb testing.TB, s *sender) *wire.Record {
	tb.Helper()
	a := assembly{limit: 1 << 20}
	var r wire.Record
	for {
		f, _, ok := s.next()
		if !ok {
			tb.Fatal("the record has no end")
		}
		header := f.header(s)
		header.Sender = address("edge").Instance
		header.PutHeader(f.seg.buf[f.start:])
		frame, err := wire.ParseFrame(f.seg.buf[f.start:f.end])
		if err != nil {
			tb.Fatal(err)
		}
		for {
			more, err := frame.Next(&r)
			if err != nil {
				tb.Fatal(err)
			}
			if !more {
				break
			}
			if whole, err := a.add(&r); err != nil || whole {
				return &r
			}
		}
	}
}

func TestSplitTooLarge(t *testing.T) {
	s := newSender(load{1 << 30, 1 << 20})
	if err := s.appendSplit(numbered(0, 5000), 1000, 5000); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if s.appended != 0 || s.counted != (load{}) {
		t.Errorf("left behind: %d records, %+v", s.appended, s.counted)
	}
}

func TestFragmentsOutOfPlace(t *testing.T) {
	whole := numbered(1, 100).Append(nil)
	part := func(index, count uint32) *wire.Record {
		return &wire.Record{Kind: wire.KindEvent, Fragment: wire.Fragment{Index: index, Count: count}, Body: whole[:60]}
	}
	other := part(1, 3)
	other.Kind = wire.KindReply
	flags := part(1, 3)
	flags.Flags = wire.FlagVolatile
	nested := part(0, 2).Append(nil)
	for _, tc := range []struct {
		name  string
		parts []*wire.Record
		want  error
	}{
		{"not from the first", []*wire.Record{part(1, 2)}, errFragment},
		{"one left out", []*wire.Record{part(0, 3), part(2, 3)}, errFragment},
		{"twice", []*wire.Record{part(0, 3), part(0, 3)}, errFragment},
		{"other count", []*wire.Record{part(0, 3), part(1, 4)}, errFragment},
		{"other kind", []*wire.Record{part(0, 3), other}, errFragment},
		{"other flags", []*wire.Record{part(0, 3), flags}, errFragment},
		{"whole record between", []*wire.Record{part(0, 2), numbered(0, 8)}, errFragment},
		{"too large", []*wire.Record{part(0, 9), part(1, 9), part(2, 9)}, ErrTooLarge},
		{"no record", []*wire.Record{part(0, 2), part(1, 2)}, errFragment},
		{"fragment of a fragment", []*wire.Record{
			{Kind: wire.KindEvent, Fragment: wire.Fragment{Index: 0, Count: 2}, Body: nested[:10]},
			{Kind: wire.KindEvent, Fragment: wire.Fragment{Index: 1, Count: 2}, Body: nested[10:]},
		}, errFragment},
		{"truncated record", []*wire.Record{
			{Kind: wire.KindEvent, Fragment: wire.Fragment{Index: 0, Count: 2}, Body: whole[:10]},
			{Kind: wire.KindEvent, Fragment: wire.Fragment{Index: 1, Count: 2}, Body: whole[10:20]},
		}, wire.ErrMalformed},
	} {
		a := assembly{limit: 150}
		var err error
		for _, p := range tc.parts {
			if err == nil {
				_, err = a.add(p)
			}
		}
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestFragmentMemoryIsBounded(t *testing.T) {
	a := assembly{limit: 1000}
	r := &wire.Record{Kind: wire.KindEvent, Fragment: wire.Fragment{Index: 0, Count: 1 << 31}, Body: make([]byte, 500)}
	if _, err := a.add(r); err != nil {
		t.Fatal(err)
	}
	if cap(a.bytes) > 1024 {
		t.Errorf("reserved %d bytes, want at most 1000", cap(a.bytes))
	}
}
