package micro

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func connect(tb testing.TB, url string, options ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// echo answers with what it gets, after what release says; "fail" fails.
func echo(release func(ctx context.Context, data string)) Config {
	return Config{
		Name: "test-echo", Version: "1.2.3", Description: "echoes", Metadata: map[string]string{"k": "v"}, Queue: "q",
		Endpoints: []Endpoint{
			{Name: "echo", Subject: "test.echo", Metadata: map[string]string{"does": "echo"}},
			{Name: "other", Subject: "test.other"},
		},
		Concurrency: 2, Bytes: 10, Grace: 100 * time.Millisecond,
		Handle: func(ctx context.Context, endpoint string, data []byte) Answer {
			release(ctx, string(data))
			if string(data) == "fail" {
				return Answer{Data: []byte("no"), Code: 418, Error: "I am a teapot"}
			}
			return Answer{Data: append([]byte(endpoint+" "), data...)}
		},
		Refuse: func(string) Answer { return Answer{Data: []byte("busy"), Code: 429, Error: "busy"} },
	}
}

// serve runs a service until the test ends or stop is called.
func serve(tb testing.TB, nc *nats.Conn, cfg Config) (s *Service, stop func()) {
	tb.Helper()
	s = New(nc, slog.New(slog.DiscardHandler), cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // stop receives
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				tb.Errorf("Run = %v, want nil", err)
			}
		case <-time.After(patience):
			tb.Error("Run does not end")
		}
	})
	tb.Cleanup(stop)
	select {
	case <-s.Ready():
	case <-time.After(patience):
		tb.Fatal("not ready")
	}
	return s, stop
}

func at(context.Context, string) {}

// all gathers n answers to a control request.
func all(t *testing.T, nc *nats.Conn, subject string, n int) (answers []string) {
	t.Helper()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		t.Fatal(err)
	}
	for range n {
		m, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatalf("%s: %d answers, then %v", subject, len(answers), err)
		}
		answers = append(answers, string(m.Data))
	}
	return answers
}

func TestDiscovery(t *testing.T) {
	url := natstest.Run(t)
	a, _ := serve(t, connect(t, url), echo(at))
	b, _ := serve(t, connect(t, url), echo(at))
	nc := connect(t, url)
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		for _, who := range []string{"", ".test-echo"} {
			both := strings.Join(all(t, nc, "$SRV."+verb+who, 2), " ")
			if !strings.Contains(both, a.id) || !strings.Contains(both, b.id) {
				t.Errorf("%s%s: got %s, want the ids %s and %s", verb, who, both, a.id, b.id)
			}
		}
	}
	const identity = `"name":"test-echo","id":"ID","version":"1.2.3","metadata":{"k":"v"}`
	for subject, want := range map[string]string{
		"$SRV.PING.test-echo.": `{` + identity + `,"type":"io.nats.micro.v1.ping_response"}`,
		"$SRV.INFO.test-echo.": `{` + identity + `,"type":"io.nats.micro.v1.info_response","description":"echoes","endpoints":[` +
			`{"name":"echo","subject":"test.echo","queue_group":"q","metadata":{"does":"echo"}},` +
			`{"name":"other","subject":"test.other","queue_group":"q","metadata":{}}]}`,
	} {
		got := strings.ReplaceAll(all(t, nc, subject+a.id, 1)[0], a.id, "ID")
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", subject, got, want)
		}
	}
}

func TestStats(t *testing.T) {
	url := natstest.Run(t)
	const slow = 20 * time.Millisecond
	s, _ := serve(t, connect(t, url), echo(func(ctx context.Context, data string) {
		if data == "slow" {
			select {
			case <-time.After(slow):
			case <-ctx.Done():
			}
		}
	}))
	nc := connect(t, url)
	for _, data := range []string{"a", "slow", "fail"} {
		m, err := nc.Request("test.echo", []byte(data), patience)
		switch {
		case err != nil:
			t.Fatal(err)
		case data == "fail":
			if string(m.Data) != "no" || m.Header.Get(micro.ErrorHeader) != "I am a teapot" || m.Header.Get(micro.ErrorCodeHeader) != "418" {
				t.Errorf("got %s, %v", m.Data, m.Header)
			}
		case string(m.Data) != "echo "+data || len(m.Header) > 0:
			t.Errorf("got %s, %v", m.Data, m.Header)
		}
	}
	var stats micro.Stats
	deadline := time.Now().Add(patience) // the last answer is on its way before it is counted
	for len(stats.Endpoints) == 0 || stats.Endpoints[0].NumRequests < 3 && time.Now().Before(deadline) {
		stats = micro.Stats{}
		if err := json.Unmarshal([]byte(all(t, nc, "$SRV.STATS.test-echo."+s.id, 1)[0]), &stats); err != nil {
			t.Fatal(err)
		}
	}
	if stats.Type != micro.StatsResponseType || time.Since(stats.Started) > patience || len(stats.Endpoints) != 2 {
		t.Fatalf("got %+v", stats)
	}
	e := stats.Endpoints[0]
	if e.Name != "echo" || e.Subject != "test.echo" || e.QueueGroup != "q" || e.NumRequests != 3 || e.NumErrors != 1 ||
		e.LastError != "418:I am a teapot" || e.ProcessingTime < slow || e.AverageProcessingTime != e.ProcessingTime/3 {
		t.Errorf("got %+v", e)
	}
	if e := stats.Endpoints[1]; e.Name != "other" || e.NumRequests != 0 {
		t.Errorf("got %+v", e)
	}
}

// Requests are handled at the same time up to the bound, refused beyond it, and shared by the instances.
func TestConcurrency(t *testing.T) {
	url := natstest.Run(t)
	begun, release := make(chan string, 8), make(chan struct{})
	wait := func(ctx context.Context, data string) {
		begun <- data
		select {
		case <-release:
		case <-ctx.Done():
			begun <- "given up"
		}
	}
	s, stop := serve(t, connect(t, url), echo(wait))
	nc := connect(t, url)
	inbox := nc.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(subject string) {
		if err := nc.PublishRequest(subject, inbox, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	want := func(text string) {
		t.Helper()
		if m, err := answers.NextMsg(patience); err != nil || string(m.Data) != text {
			t.Errorf("got %v, %v, want %s", m, err, text)
		}
	}
	begins := func(want string) {
		t.Helper()
		select {
		case got := <-begun:
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("no handler begins with %s", want)
		}
	}
	finish := func() {
		t.Helper()
		select {
		case release <- struct{}{}:
		case <-time.After(patience):
			t.Fatal("no handler to finish")
		}
	}
	ask("test.echo")
	ask("test.echo")
	begins("x")
	begins("x") // both at a time
	if s.InProgress() != 2 {
		t.Errorf("%d in progress, want 2", s.InProgress())
	}
	ask("test.other")
	want("busy")
	finish()
	want("echo x")
	finish()
	want("echo x")
	// A request of any size is taken, but none beside it that makes too many bytes.
	ask("test.echo")
	begins("x")
	if err := nc.PublishRequest("test.echo", inbox, []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	want("busy")
	finish()
	want("echo x")
	if err := nc.PublishRequest("test.echo", inbox, []byte("0123456789a")); err != nil {
		t.Fatal(err)
	}
	begins("0123456789a")
	ask("test.echo")
	want("busy")
	finish()
	want("echo 0123456789a")
	// What runs when the service ends has a while, and then the end of its context.
	ask("test.echo")
	begins("x")
	stop()
	begins("given up")
	want("echo x")
	if _, err := nc.Request("test.echo", nil, patience); err != nats.ErrNoResponders { //nolint:errorlint // as it comes
		t.Errorf("got %v, want no responders", err)
	}
}

// Who asks again once it has its answer is not refused because of the request before.
func TestOneAfterTheOther(t *testing.T) {
	url := natstest.Run(t)
	cfg := echo(at)
	cfg.Concurrency = 1
	serve(t, connect(t, url), cfg)
	nc := connect(t, url)
	for i := range 5000 {
		if m, err := nc.Request("test.echo", []byte("0123456789"), patience); err != nil || string(m.Data) == "busy" {
			t.Fatalf("request %d: got %v, %v", i, m, err)
		}
	}
}

func TestRefusedByTheServer(t *testing.T) {
	url := natstest.Run(t, natstest.With(func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Deny: []string{"test.other"}},
		}}}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	nc := connect(t, url, nats.UserInfo("u", "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	s := New(nc, slog.New(slog.DiscardHandler), echo(at))
	if err := s.Run(ctx); err == nil || !strings.Contains(err.Error(), "test.other") {
		t.Errorf("Run = %v, want an error about test.other", err)
	}
}

// A service ends soon also while the server is away.
func TestEndWithoutConnection(t *testing.T) {
	s := natstest.Start(t)
	nc := connect(t, s.URL(), nats.MaxReconnects(-1))
	var stops []func()
	for range 3 {
		_, stop := serve(t, nc, echo(at))
		stops = append(stops, stop)
	}
	s.Stop()
	deadline := time.Now().Add(patience)
	for nc.IsConnected() && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	soonest := patience // the machine may be slow once
	for _, stop := range stops {
		begun := time.Now()
		stop()
		soonest = min(soonest, time.Since(begun))
	}
	if soonest >= leave {
		t.Errorf("it took %v", soonest)
	}
}
