package link

import (
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestArrivals(t *testing.T) {
	type step struct {
		link  uint32
		first uint64
		count int
		want  arrival
		skip  int
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{1, 1, 2, open, 0}, {1, 3, 1, take, 0}, {1, 4, 5, take, 0}}},
		{"repeated", []step{{1, 1, 2, open, 0}, {1, 1, 2, repeat, 0}, {1, 1, 3, take, 2}}},
		{"unknown link asks for the first", []step{{7, 57, 1, gap, 0}, {7, 58, 1, ignore, 0}, {7, 1, 58, open, 0}}},
		{"one report a gap", []step{{1, 1, 1, open, 0}, {1, 3, 1, gap, 0}, {1, 4, 1, ignore, 0}, {1, 5, 1, ignore, 0}, {1, 2, 4, take, 0}}},
		{"and one each time it goes back", []step{{1, 1, 1, open, 0}, {1, 3, 1, gap, 0}, {1, 4, 1, ignore, 0}, {1, 4, 1, gap, 0}, {1, 3, 1, gap, 0}}},
		{"a new gap", []step{{1, 1, 1, open, 0}, {1, 3, 1, gap, 0}, {1, 2, 1, take, 0}, {1, 9, 1, gap, 0}}},
		{"newer link", []step{{1, 1, 1, open, 0}, {3, 1, 1, open, 0}, {3, 2, 1, take, 0}}},
		{"newer link asks for the first", []step{{1, 1, 1, open, 0}, {3, 2, 1, gap, 0}, {3, 1, 2, open, 0}}},
		{"older link", []step{{3, 1, 1, open, 0}, {1, 2, 1, ignore, 0}, {2, 1, 1, ignore, 0}, {3, 2, 1, take, 0}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r receiver
			for i, s := range tc.steps {
				got, skip := r.arrive(&wire.Frame{Link: s.link, First: s.first, Count: s.count})
				if got != s.want || skip != s.skip {
					t.Fatalf("step %d: got %d skipping %d, want %d skipping %d", i, got, skip, s.want, s.skip)
				}
				if got == take || got == open {
					for range s.count - skip {
						r.took()
					}
				}
			}
		})
	}
}

func TestEndedLinkIsRefused(t *testing.T) {
	var r receiver
	r.arrive(&wire.Frame{Link: 2, First: 1, Count: 1})
	r.took()
	r.end()
	for i, tc := range []struct {
		link  uint32
		first uint64
		want  arrival
	}{{2, 2, refuse}, {2, 3, ignore}, {2, 3, refuse}, {1, 1, ignore}, {3, 1, open}} {
		if got, _ := r.arrive(&wire.Frame{Link: tc.link, First: tc.first, Count: 1}); got != tc.want {
			t.Errorf("frame %d: got %d, want %d", i, got, tc.want)
		}
	}
}

func TestReceiverMarks(t *testing.T) {
	var r receiver
	r.arrive(&wire.Frame{Link: 4, First: 3, Count: 1})
	if got, want := r.mark(), (wire.Mark{Link: 4}); got != want {
		t.Errorf("before the first: got %+v, want %+v", got, want)
	}
	r.arrive(&wire.Frame{Link: 4, First: 1, Count: 2})
	r.took()
	r.took()
	if got, want := r.mark(), (wire.Mark{Link: 4, Seq: 2}); got != want {
		t.Errorf("after two: got %+v, want %+v", got, want)
	}
}
