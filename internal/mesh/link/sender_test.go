package link

import (
	"errors"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func newSender(window load) *sender {
	return &sender{number: 1, window: window, frame: maxFrameBytes, segments: &segments{}}
}

// sendAll takes every frame that is to be sent, and returns the first sequence of each.
func sendAll(s *sender) (firsts []uint64) {
	for {
		f, _, ok := s.next()
		if !ok {
			return firsts
		}
		firsts = append(firsts, f.first)
		s.release(f.seg)
	}
}

func mustAppend(tb testing.TB, s *sender, n, size int) {
	tb.Helper()
	for i := range n {
		if err := s.append(numbered(uint64(i), size)); err != nil {
			tb.Fatalf("append %d: %v", i, err)
		}
	}
}

func TestWindow(t *testing.T) {
	control := &wire.Record{Kind: wire.KindGone, Flags: wire.FlagControl}
	record := numbered(0, 100)
	size := record.Size()
	for _, tc := range []struct {
		name   string
		window load
		want   int
	}{
		{"records", load{1 << 20, 3}, 3},
		{"bytes exactly", load{4 * size, 100}, 4},
		{"bytes but one", load{4*size - 1, 100}, 3},
		{"one larger", load{10, 100}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSender(tc.window)
			if err := s.append(control); err != nil { // leaves the larger one its chance
				t.Fatal(err)
			}
			mustAppend(t, s, tc.want, 100)
			if err := s.append(record); !errors.Is(err, ErrFull) {
				t.Errorf("over the window: got %v, want ErrFull", err)
			}
			if err := s.append(control); err != nil {
				t.Errorf("control: got %v, want nil", err)
			}
			sendAll(s)
			if _, err := s.mark(wire.Mark{Link: 1, Seq: s.appended}); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, s, tc.want, 100)
		})
	}
}

func TestControlOverflow(t *testing.T) {
	s := newSender(load{1 << 20, 2})
	r := &wire.Record{Kind: wire.KindGone, Flags: wire.FlagControl}
	for i := range 2 * controlFactor {
		if err := s.append(r); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	if err := s.append(r); !errors.Is(err, ErrOverflow) {
		t.Errorf("got %v, want ErrOverflow", err)
	}
}

func TestFrameLimits(t *testing.T) {
	s := newSender(load{1 << 30, 1 << 20})
	mustAppend(t, s, 600, 8)
	for i, want := range []uint64{1, 257, 513} {
		if f, _, _ := s.next(); f.first != want {
			t.Errorf("frame %d begins with record %d, want %d", i, f.first, want)
		}
	}
	mustAppend(t, s, 30, 10<<10)
	for {
		f, _, ok := s.next()
		if !ok {
			break
		}
		if size := f.end - f.start; size > maxFrameBytes {
			t.Errorf("frame of %d bytes, want at most %d", size, maxFrameBytes)
		}
	}
}

func TestMarks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mark   wire.Mark
		news   bool
		err    error
		resent int // frames
	}{
		{"progress", wire.Mark{Link: 1, Seq: 3}, true, nil, 0},
		{"the same again", wire.Mark{Link: 1, Seq: 2}, false, nil, 0},
		{"overtaken", wire.Mark{Link: 1, Seq: 1}, false, nil, 0},
		{"overtaken gap", wire.Mark{Link: 1, Seq: 1, Gap: true}, false, nil, 0},
		{"gap", wire.Mark{Link: 1, Seq: 3, Gap: true}, true, nil, 2},
		{"gap without news", wire.Mark{Link: 1, Seq: 2, Gap: true}, false, nil, 3},
		{"forgotten", wire.Mark{Link: 1, Gap: true}, false, errForgotten, 0},
		{"never sent", wire.Mark{Link: 1, Seq: 6}, false, errImpossible, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSender(load{1 << 20, 100})
			for range 5 {
				mustAppend(t, s, 1, 8)
				sendAll(s)
			}
			mustAppend(t, s, 1, 8) // not sent
			if _, err := s.mark(wire.Mark{Link: 1, Seq: 2}); err != nil {
				t.Fatal(err)
			}
			news, err := s.mark(tc.mark)
			if news != tc.news || !errors.Is(err, tc.err) {
				t.Errorf("got %v and %v, want %v and %v", news, err, tc.news, tc.err)
			}
			if got, want := len(sendAll(s)), tc.resent+1; got != want {
				t.Errorf("sent after it: got %d frames, want %d", got, want)
			}
			if want := max(2, tc.mark.Seq); tc.err == nil && s.marked != want {
				t.Errorf("marked: got %d, want %d", s.marked, want)
			}
		})
	}
}

func TestFailedWriteIsRepeated(t *testing.T) {
	s := newSender(load{1 << 20, 100})
	for range 3 {
		mustAppend(t, s, 1, 8)
		f, _, _ := s.next()
		s.release(f.seg)
	}
	s.unsend(2)
	if got := sendAll(s); len(got) != 2 || got[0] != 2 {
		t.Errorf("sent again: got %v, want 2 and 3", got)
	}
	s.unsend(2)
	if _, err := s.mark(wire.Mark{Link: 1, Seq: 3}); err != nil {
		t.Fatal(err)
	}
	s.unsend(3) // marked meanwhile
	if got := sendAll(s); len(got) != 0 {
		t.Errorf("sent again after the mark: got %v, want none", got)
	}
}

func TestMemoryIsReleased(t *testing.T) {
	s := newSender(load{64 << 20, 1 << 20})
	mustAppend(t, s, 1000, 1000)
	writing, _, _ := s.next()
	seg := writing.seg
	sendAll(s)
	if _, err := s.mark(wire.Mark{Link: 1, Seq: 1000}); err != nil {
		t.Fatal(err)
	}
	if seg.refs != 1 {
		t.Errorf("segment of the frame being written: got %d references, want 1", seg.refs)
	}
	s.release(seg)
	s.idle()
	if s.filling != nil || cap(s.frames) > 16 || s.counted != (load{}) {
		t.Errorf("idle sender holds %v, %d frames, %+v", s.filling, cap(s.frames), s.counted)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	s := newSender(load{1 << 20, 100})
	r := numbered(0, 64)
	if n := testing.AllocsPerRun(1000, func() {
		_ = s.append(r)
		f, _, _ := s.next()
		s.release(f.seg)
		_, _ = s.mark(wire.Mark{Link: 1, Seq: s.appended})
	}); n != 0 {
		t.Errorf("got %v allocations a record, want 0", n)
	}
}
