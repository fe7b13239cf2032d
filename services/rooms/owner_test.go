package rooms

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// second starts another rooms instance and lets it look around.
func (w *world) second(cfg Config) (s *Service, stop func() error) {
	w.tb.Helper()
	s = New(w.bus, mesh.Subjects{}, slog.New(slog.DiscardHandler), cfg)
	stop = runs(w.tb, s.Run)
	w.pass(2 * time.Second)
	return s, stop
}

func ready(s *Service) bool {
	select {
	case <-s.Ready():
		return true
	default:
		return false
	}
}

func TestSecondInstanceRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		s, stop := w.second(Config{Takeover: 3 * time.Second})
		if ready(s) || s.Healthy() {
			t.Error("the second instance serves")
		}
		w.pass(2 * time.Second)
		if err := stop(); !errors.Is(err, errAnother) {
			t.Errorf("run: got %v, want %v", err, errAnother)
		}
		if err := w.stop(); err != nil {
			t.Errorf("run of the first: got %v", err)
		}
	})
}

func TestSuccessorTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		s := New(w.bus, mesh.Subjects{}, slog.New(slog.DiscardHandler), Config{})
		runs(t, s.Run)
		w.pass(300 * time.Millisecond)
		if err := w.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		w.pass(100 * time.Millisecond) // still in the same second
		if !ready(s) {
			t.Error("the second instance does not serve after the first has gone")
		}
		if s.epoch <= w.rooms.epoch {
			t.Errorf("epoch: got %d, want above %d", s.epoch, w.rooms.epoch)
		}
	})
}

func TestTwoStartTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bus.NewMemory()
		t.Cleanup(m.Close)
		log := slog.New(slog.DiscardHandler)
		a, b := New(m, mesh.Subjects{}, log, Config{}), New(m, mesh.Subjects{}, log, Config{})
		runs(t, a.Run)
		runs(t, b.Run)
		<-time.After(3 * time.Second)
		if ready(a) == ready(b) {
			t.Errorf("serving: got %v and %v, want one", ready(a), ready(b))
		}
	})
}

// TestOwnersMeet: two that could not hear each other both serve; when they meet, the one that started later goes on.
func TestOwnersMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bus.NewMemory()
		t.Cleanup(m.Close)
		log := slog.New(slog.DiscardHandler)
		cut := &flaky{Bus: m}
		a := New(cut, mesh.Subjects{}, log, Config{})
		runA := runs(t, a.Run)
		<-a.Ready()
		cut.off.Store(true)
		<-time.After(3 * time.Second)
		b := New(&flaky{Bus: m}, mesh.Subjects{}, log, Config{})
		runB := runs(t, b.Run)
		<-b.Ready()
		cut.off.Store(false)
		<-time.After(3 * time.Second)
		synctest.Wait()
		if err := runA(); !errors.Is(err, errAnother) {
			t.Errorf("run of the elder: got %v, want %v", err, errAnother)
		}
		if !b.Healthy() {
			t.Error("the younger does not serve")
		}
		if err := runB(); err != nil {
			t.Errorf("run of the younger: got %v", err)
		}
	})
}
