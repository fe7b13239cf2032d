package rooms

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestTake(t *testing.T) {
	p := &progress{origin: &origin{}}
	for _, c := range []struct {
		op     uint64
		repeat bool
		err    error
	}{
		{0, false, errNumber},
		{7, false, nil}, // the first sets the count
		{7, true, nil},
		{3, true, nil},
		{9, false, errNumber},
		{8, false, nil},
		{0, false, errNumber},
	} {
		repeat, err := p.take(c.op)
		if repeat != c.repeat || !errors.Is(err, c.err) {
			t.Errorf("take %d: got %v, %v, want %v, %v", c.op, repeat, err, c.repeat, c.err)
		}
	}
	if !p.advance() || p.done != 8 {
		t.Errorf("without edges: got done %d, want 8", p.done)
	}
}

func TestReopened(t *testing.T) {
	var out outbox
	p := &progress{origin: &origin{}, parked: []parked{{operation: 9}}}
	mustTake(t, p, 1)
	p.concern()
	out.push(1, 1, p)
	fresh := p.reopened()
	if len(fresh.parked) != 1 || fresh.taken != 1 {
		t.Errorf("reopened: got %d queries, taken %d, want 1, 1", len(fresh.parked), fresh.taken)
	}
	mustTake(t, fresh, 1) // a sender may count from the start again
	fresh.concern()
	out.push(2, 1, fresh)
	out.pop(1, func(of *progress, op uint64) { of.applied(op) })
	if fresh.advance() {
		t.Error("the mark of the earlier link's operation confirmed the new one")
	}
	out.pop(2, func(of *progress, op uint64) { of.applied(op) })
	if !fresh.advance() || fresh.done != 1 {
		t.Errorf("got done %d, want 1", fresh.done)
	}
}

func mustTake(tb rapid.TB, p *progress, op uint64) {
	tb.Helper()
	if repeat, err := p.take(op); repeat || err != nil {
		tb.Fatalf("take %d: got %v, %v", op, repeat, err)
	}
}

// TestConfirmInOrder: done is always the highest operation up to which all edges have marked everything.
func TestConfirmInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const edges = 3
		p := &progress{origin: &origin{}}
		var (
			outs   [edges]outbox
			seqs   [edges]uint64
			marked [edges]uint64
			open   = map[uint64]map[int]uint64{} // by operation: by edge the sequence
			last   uint64
		)
		t.Repeat(map[string]func(*rapid.T){
			"operation": func(t *rapid.T) {
				last++
				mustTake(t, p, last)
				open[last] = map[int]uint64{}
				for i := range edges {
					if rapid.Bool().Draw(t, "concerned") {
						seqs[i] += rapid.Uint64Range(1, 3).Draw(t, "step") // other origins' records lie between
						p.concern()
						outs[i].push(seqs[i], last, p)
						open[last][i] = seqs[i]
					}
				}
			},
			"mark": func(t *rapid.T) {
				i := rapid.IntRange(0, edges-1).Draw(t, "edge")
				marked[i] = rapid.Uint64Range(marked[i], seqs[i]).Draw(t, "seq")
				outs[i].pop(marked[i], func(of *progress, op uint64) { of.applied(op) })
			},
			"": func(t *rapid.T) {
				p.advance()
				want := uint64(0)
				for want < last {
					for i, seq := range open[want+1] {
						if seq > marked[i] {
							if p.done != want {
								t.Fatalf("done: got %d, want %d", p.done, want)
							}
							return
						}
					}
					want++
				}
				if p.done != want {
					t.Fatalf("done: got %d, want %d", p.done, want)
				}
			},
		})
	})
}

func TestQueuesShrink(t *testing.T) {
	var out outbox
	p := &progress{origin: &origin{}}
	for op := uint64(1); op <= 10_000; op++ {
		mustTake(t, p, op)
		p.concern()
		out.push(op, op, p)
	}
	for seq := uint64(1); seq <= 10_000; seq += 3 {
		out.pop(seq, func(of *progress, op uint64) { of.applied(op) })
		p.advance()
	}
	if cap(out.entries) > 4096 || cap(p.waiting) > 4096 || p.done != 10_000 {
		t.Errorf("got capacities %d, %d, done %d", cap(out.entries), cap(p.waiting), p.done)
	}
}
