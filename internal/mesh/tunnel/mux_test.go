package tunnel

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestRequestAndAnswer(t *testing.T) {
	a, b := newPair(t, Config{})
	ours, theirs := open(t, a, b, "head")
	if got := get(t, b.heads); got != "head" {
		t.Errorf("head %q", got)
	}
	write(t, ours, "question")
	wantRead(t, theirs, "question")
	if _, err := theirs.WriteLast([]byte("answer")); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(ours); err != nil || string(got) != "answer" {
		t.Errorf("got %q (%v)", got, err)
	}
	if err := ours.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want EOF", err)
	}
	eventually(t, "both ends forgotten", func() bool {
		return a.mux.cfg.Metrics.Open.Load() == 0 && b.mux.cfg.Metrics.Open.Load() == 0
	})
	if _, err := ours.Write([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("write behind the end: %v", err)
	}
}

// A stream whose head is all.
func TestOpenLast(t *testing.T) {
	a, b := newPair(t, Config{})
	if _, err := a.mux.Open(t.Context(), b.self, []byte("all"), true); err != nil {
		t.Fatal(err)
	}
	theirs := get(t, b.accepted)
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want EOF", err)
	}
	_ = theirs.Close()
}

// Many streams at once, each with bytes of its own in both directions.
func TestManyStreams(t *testing.T) {
	a, b := newPair(t, Config{Window: 2 << 10, Chunk: 700})
	var wg sync.WaitGroup
	echo := func(s *Stream) {
		_, err := io.Copy(struct{ io.Writer }{s}, s)
		if err == nil {
			err = s.CloseWrite()
		}
		if err != nil {
			t.Errorf("echo: %v", err)
		}
	}
	const streams = 50
	for range streams {
		wg.Go(func() {
			data := make([]byte, rand.IntN(20_000)) //nolint:gosec // a test
			for i := range data {
				data[i] = byte(rand.IntN(256)) //nolint:gosec // a test
			}
			s, err := a.mux.Open(t.Context(), b.self, nil, false)
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() {
				if _, err := s.WriteLast(data); err != nil {
					t.Error(err)
				}
			})
			if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d bytes of %d, %v", len(got), len(data), err)
			}
		})
	}
	for range streams {
		s := get(t, b.accepted)
		wg.Go(func() { echo(s) })
	}
	wg.Wait()
}
