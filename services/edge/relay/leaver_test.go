package relay_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/siomesh/siomesh/services/edge/relay/relaytest"
)

// leaver is a client that goes as soon as it has its answer, as the connections of a balancer do.
type leaver struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l *leaver) FlushError() error {
	l.Flush()
	l.leave()
	return nil
}

// TestGoneWithTheAnswer: a client that goes once it has its packets has them, and keeps its session.
func TestGoneWithTheAnswer(t *testing.T) {
	s := newSite(t, 2, relaytest.Config{})
	sid, _ := s.open()
	for range 5 {
		s.want("post", s.post(0, sid, "4x"), http.StatusOK, "ok")
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/engine.io/?EIO=4&transport=polling&sid="+sid, nil)
		w := &leaver{httptest.NewRecorder(), func() {
			cancel()
			<-time.After(20 * time.Millisecond) // in which nothing is to happen
		}}
		s.nodes[1].ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Body.String() != "4x" {
			t.Fatalf("got %d %q", w.Code, w.Body)
		}
	}
}
