package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a service until the test ends or stop is called.
func serve(tb testing.TB, b bus.Bus, s mesh.Subjects, cfg Config) (stop func()) {
	tb.Helper()
	service, err := New(b, s, slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		tb.Fatalf("new: %v", err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }() // stop waits for it
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				tb.Errorf("run: %v", err)
			}
		case <-time.After(20 * time.Second):
			tb.Error("run: no end within 20 s")
		}
	})
	tb.Cleanup(stop)
	select {
	case <-service.Ready():
	case <-time.After(10 * time.Second):
		tb.Fatal("not ready within 10 s")
	}
	return stop
}

func ask(tb testing.TB, b bus.Bus, s mesh.Subjects, q *authn.ConnectRequest) *authn.ConnectReply {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	r, err := authn.Ask(ctx, b, s, q)
	if err != nil {
		tb.Fatalf("ask: %v", err)
	}
	return r
}

// askRaw sends bytes that need not be a request.
func askRaw(tb testing.TB, b bus.Bus, data string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	answer, err := b.Request(ctx, "sio.v1.auth.connect", []byte(data))
	if err != nil {
		tb.Fatalf("request: %v", err)
	}
	return string(answer)
}

func TestNewRefusesNonsense(t *testing.T) {
	good := policies(t, Keys{}, "*=allow")
	for name, cfg := range map[string]Config{
		"no policies":          {},
		"negative concurrency": {Policies: good, Concurrency: -1},
		"negative waiting":     {Policies: good, Waiting: -1},
	} {
		if _, err := New(bus.NewMemory(), mesh.Subjects{}, slog.New(slog.DiscardHandler), cfg); err == nil {
			t.Errorf("%s: no error, want one", name)
		}
	}
}

func TestServiceAnswers(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics, err := NewMetrics(registry)
	if err != nil {
		t.Fatalf("metrics: %v", err)
	}
	if _, err := NewMetrics(registry); err == nil {
		t.Error("registered twice, want an error")
	}
	b := bus.NewMemory()
	serve(t, b, mesh.Subjects{}, Config{
		Policies: policies(t, Keys{Tokens: list}, "/admin=tokens", "/chat=allow"), Metrics: metrics,
	})
	for _, tt := range []struct{ name, request, want string }{
		{"allowed", `{"namespace":"/chat","socket":"s","auth":{},"handshake":{"headers":{},"query":{}}}`, `{"allow":true}`},
		{
			"with a token", `{"namespace":"/admin","auth":{"token":"s3cret"}}`,
			`{"allow":true,"user":"ann","data":{"role":"admin"},"rooms":["staff"]}`,
		},
		{"without", `{"namespace":"/admin"}`, `{"allow":false,"message":"token required"}`},
		{"wrong", `{"namespace":"/admin","auth":{"token":"x"}}`, `{"allow":false,"message":"invalid token"}`},
		{"closed", `{"namespace":"/"}`, `{"allow":false,"message":"no policy allows this namespace"}`},
		{"no JSON", `hello`, `{"allow":false,"message":"malformed request"}`},
		{"empty", ``, `{"allow":false,"message":"malformed request"}`},
		{"half", `{"namespace":"/chat"`, `{"allow":false,"message":"malformed request"}`},
		{"no namespace", `{}`, `{"allow":false,"message":"malformed request"}`},
		{"list", `[]`, `{"allow":false,"message":"malformed request"}`},
	} {
		if got := askRaw(t, b, tt.request); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	want := map[string]float64{
		"connect allow allowed": 1, "connect tokens allowed": 1, "connect tokens token_required": 1,
		"connect tokens token_invalid": 1, "connect none no_policy": 1, "connect none malformed_request": 5,
	}
	if got := verdicts(t, registry); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("verdicts = %v, want %v", got, want)
	}
}

// verdicts returns the counters by "question policy outcome".
func verdicts(tb testing.TB, registry *prometheus.Registry) map[string]float64 {
	tb.Helper()
	families, err := registry.Gather()
	if err != nil {
		tb.Fatalf("gather: %v", err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			got[labels["question"]+" "+labels["policy"]+" "+labels["outcome"]] = m.GetCounter().GetValue()
		}
	}
	return got
}

// TestOtherPrefix: two meshes on one NATS do not hear each other.
func TestOtherPrefix(t *testing.T) {
	s, err := mesh.NewSubjects("staging")
	if err != nil {
		t.Fatalf("subjects: %v", err)
	}
	b := bus.NewMemory()
	serve(t, b, s, Config{Policies: policies(t, Keys{}, "*=allow")})
	if got := ask(t, b, s, request("/", "")); !got.Allow {
		t.Errorf("got %+v, want allowed", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := authn.Ask(ctx, b, mesh.Subjects{}, request("/", "")); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("default prefix: err = %v, want ErrUnavailable", err)
	}
}

// gate is a policy that says when it decides and waits to be let go.
type gate struct{ entered, leave chan struct{} }

// wantEntered waits until somebody decides.
func (g gate) wantEntered(tb testing.TB) {
	tb.Helper()
	select {
	case <-g.entered:
	case <-time.After(10 * time.Second):
		tb.Fatal("nobody decides within 10 s")
	}
}

// letGo lets one go.
func (g gate) letGo(tb testing.TB) {
	tb.Helper()
	select {
	case g.leave <- struct{}{}:
	case <-time.After(10 * time.Second):
		tb.Fatal("nobody leaves within 10 s")
	}
}

func (g gate) decide(credential, time.Time) (*authn.ConnectReply, outcome) {
	g.entered <- struct{}{}
	<-g.leave
	return &authn.ConnectReply{Allow: true}, allowed
}

// TestConcurrencyIsBounded: so many at a time, the others wait and are answered later.
func TestConcurrencyIsBounded(t *testing.T) {
	const limit, asked = 3, 8
	g := gate{entered: make(chan struct{}), leave: make(chan struct{})}
	b := bus.NewMemory()
	serve(t, b, mesh.Subjects{}, Config{
		Policies: Policies{exact: map[string]rule{"/": {name: "gate", policy: g}}}, Concurrency: limit,
	})
	var clients errgroup.Group
	for range asked {
		clients.Go(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := authn.Ask(ctx, b, mesh.Subjects{}, request("/", ""))
			return err
		})
	}
	for range limit {
		g.wantEntered(t)
	}
	select {
	case <-g.entered:
		t.Errorf("more than %d at a time", limit)
	case <-time.After(50 * time.Millisecond):
	}
	for range asked - limit {
		g.letGo(t)
		g.wantEntered(t)
	}
	close(g.leave)
	if err := clients.Wait(); err != nil {
		t.Errorf("ask: %v", err)
	}
}

// TestStopFinishesWhatItBegan: who was being decided gets the verdict.
func TestStopFinishesWhatItBegan(t *testing.T) {
	g := gate{entered: make(chan struct{}), leave: make(chan struct{})}
	b := bus.NewMemory()
	stop := serve(t, b, mesh.Subjects{}, Config{Policies: Policies{exact: map[string]rule{"/": {name: "gate", policy: g}}}})
	var client errgroup.Group
	client.Go(func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := authn.Ask(ctx, b, mesh.Subjects{}, request("/", ""))
		if err == nil && !r.Allow {
			err = errors.New("refused")
		}
		return err
	})
	g.wantEntered(t)
	var stopping sync.WaitGroup
	stopping.Go(stop)
	close(g.leave)
	if err := client.Wait(); err != nil {
		t.Errorf("ask: %v", err)
	}
	stopping.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := authn.Ask(ctx, b, mesh.Subjects{}, request("/", "")); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("after the end: err = %v, want ErrNoResponders", err)
	}
}

// TestPublishIsNoRequest: a message without a reply subject is nobody's question.
func TestPublishIsNoRequest(t *testing.T) {
	b := bus.NewMemory()
	serve(t, b, mesh.Subjects{}, Config{Policies: policies(t, Keys{}, "*=allow"), Concurrency: 1})
	data, err := json.Marshal(request("/", ""))
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	if err := b.Publish("sio.v1.auth.connect", data); err != nil {
		t.Fatalf("publish: %v", err)
	}
	if got := ask(t, b, mesh.Subjects{}, request("/", "")); !got.Allow {
		t.Errorf("got %+v, want allowed", got)
	}
}
