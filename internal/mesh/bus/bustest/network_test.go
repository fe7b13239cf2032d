package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/bus/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is three processes: a and b send 1, 2, 3… to c.
type world struct {
	*bustest.Network
	a, b, c *bustest.Faulty
	got     []string // owned by c's receiver; read after synctest.Wait
	sent    map[string]int
}

func newWorld(t *testing.T, seed uint64, faults bustest.Faults) *world {
	t.Helper()
	n := bustest.NewNetwork(seed, faults)
	t.Cleanup(n.Close)
	w := &world{Network: n, a: n.Process("a"), b: n.Process("b"), c: n.Process("c"), sent: map[string]int{}}
	w.listen(t, w.c, "c.in.*")
	return w
}

func (w *world) listen(t *testing.T, at bus.Bus, subject string) {
	t.Helper()
	r := at.NewReceiver(bus.Data, 1000)
	if err := r.Subscribe(subject, "", func(m bus.Msg) {
		w.got = append(w.got, m.Subject[len(m.Subject)-1:]+string(m.Data))
	}); err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	go r.Run(t.Context()) //nolint:errcheck // ends with the test; what it returns is tested in the contract
}

func (w *world) send(t *testing.T, from string, messages int) {
	t.Helper()
	for range messages {
		w.sent[from]++
		sender := map[string]*bustest.Faulty{"a": w.a, "b": w.b}[from]
		if err := sender.Send("c.in."+from, "", fmt.Append(nil, w.sent[from])); err != nil {
			t.Fatalf("send: %v", err)
		}
	}
}

// from is what c got of one sender.
func (w *world) from(sender string) []string {
	return slices.DeleteFunc(slices.Clone(w.got), func(s string) bool { return s[:1] != sender })
}

func TestNothingMovesWithoutAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, bustest.Faults{})
		w.send(t, "a", 2)
		synctest.Wait()
		if len(w.got) != 0 {
			t.Fatalf("got %q before a step", w.got)
		}
		held := w.Held()
		if len(held) != 1 || held[0].From != "a" || held[0].To != "c" || held[0].Subject != "c.in.a" || string(held[0].Data) != "1" {
			t.Errorf("held: got %+v", held)
		}
		for w.Step() {
			continue
		}
		synctest.Wait()
		if want := []string{"a1", "a2"}; !slices.Equal(w.got, want) {
			t.Errorf("got %q, want %q", w.got, want)
		}
	})
}

func TestSendersOvertakeEachOtherButNotThemselves(t *testing.T) {
	overtaken := false
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, bustest.Faults{})
			w.send(t, "a", 5)
			w.send(t, "b", 5)
			w.Settle()
			synctest.Wait()
			for _, sender := range []string{"a", "b"} {
				if got := w.from(sender); len(got) != 5 || !slices.IsSorted(got) {
					t.Errorf("seed %d, %s: got %q, want all in order", seed, sender, got)
				}
			}
			overtaken = overtaken || w.got[0] == "b1"
		})
	}
	if !overtaken {
		t.Error("no sender ever overtook the other")
	}
}

func TestSeedDecidesEverything(t *testing.T) {
	play := func(seed uint64) (got []string) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, bustest.Faults{Drop: 0.3, Duplicate: 0.3})
			for range 20 {
				w.send(t, "a", 1)
				w.send(t, "b", 1)
				w.Step()
			}
			w.a.Cut()
			for w.Step() {
				continue
			}
			synctest.Wait()
			got = w.got
		})
		return got
	}
	first := play(7)
	if again := play(7); !slices.Equal(first, again) {
		t.Errorf("same seed:\n got %q\nthen %q", first, again)
	}
	if other := play(8); slices.Equal(first, other) {
		t.Errorf("another seed: the same %q", other)
	}
	if got := len(slices.Compact(slices.Clone(first))); got == len(first) || got >= 40 {
		t.Errorf("got %d messages, %d without repeats: want losses and repeats", len(first), got)
	}
}

func TestExplicitFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, bustest.Faults{})
		w.send(t, "a", 4)
		w.Drop(0)
		w.Repeat(0)
		w.Deliver(0)
		w.Deliver(0)
		w.Settle()
		synctest.Wait()
		if want := []string{"a2", "a2", "a3", "a4"}; !slices.Equal(w.got, want) {
			t.Errorf("got %q, want %q", w.got, want)
		}
	})
}

func TestCutLosesAnEndAndHeals(t *testing.T) {
	lost := 0
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, bustest.Faults{})
			w.send(t, "a", 8)
			w.a.Cut()
			if err := w.a.Send("c.in.a", "", nil); !errors.Is(err, bus.ErrDisconnected) {
				t.Errorf("send while cut: got error %v", err)
			}
			w.a.Heal()
			w.sent["a"] = 8
			w.send(t, "a", 1)
			w.Settle()
			synctest.Wait()
			got := w.from("a")
			for i, m := range got[:len(got)-1] {
				if m != fmt.Sprint("a", i+1) {
					t.Errorf("seed %d: got %q, want a beginning", seed, got)
				}
			}
			if got[len(got)-1] != "a9" {
				t.Errorf("seed %d: got %q, want a9 at the end", seed, got)
			}
			lost += 9 - len(got)
		})
	}
	if lost == 0 {
		t.Error("no cut ever lost anything")
	}
}

func TestCutAddresseeIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, bustest.Faults{})
		w.listen(t, w.a, "a.k")
		w.c.Cut()
		if err := w.a.Send("c.in.a", "a.k", []byte("1")); err != nil {
			t.Fatalf("send: %v", err)
		}
		w.send(t, "b", 1)
		w.Settle()
		synctest.Wait()
		if want := []string{"k"}; !slices.Equal(w.got, want) {
			t.Errorf("got %q, want the notice alone", w.got)
		}
	})
}

func TestKilledProcessIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, bustest.Faults{})
		w.send(t, "a", 1)
		w.a.Kill()
		if err := w.a.Publish("c.in.a", nil); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("publish by the dead: got error %v, want %v", err, bus.ErrClosed)
		}
		w.a = w.Process("a")
		w.send(t, "a", 1)
		w.c.Kill()
		w.c = w.Process("c")
		w.listen(t, w.c, "c.in.*")
		w.Settle()
		synctest.Wait()
		slices.Sort(w.got) // the two lives of a are two flows
		if want := []string{"a1", "a2"}; !slices.Equal(w.got, want) {
			t.Errorf("got %q, want %q", w.got, want)
		}
	})
}

func TestRequestsAreLostToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, bustest.Faults{Drop: 0.3})
		r := w.c.NewReceiver(bus.Control, 100)
		if err := r.Subscribe("ask", "", func(m bus.Msg) { w.c.Respond(m, nil) }); err != nil { //nolint:errcheck // seen below
			t.Fatalf("subscribe: %v", err)
		}
		go r.Run(t.Context()) //nolint:errcheck // ends with the test
		lost := 0
		for range 50 {
			if _, err := w.a.Request(within(t, time.Second), "ask", nil); err != nil {
				lost++
			}
		}
		if lost == 0 || lost == 50 {
			t.Errorf("lost %d of 50 requests", lost)
		}
		w.SetFaults(bustest.Faults{})
		w.c.Cut()
		if _, err := w.a.Request(within(t, time.Second), "ask", nil); !errors.Is(err, bus.ErrNoResponders) {
			t.Errorf("request to one cut off: got error %v, want %v", err, bus.ErrNoResponders)
		}
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
