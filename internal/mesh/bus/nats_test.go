package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/natstest"
)

// journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), what)
}

func (j *journal) waitFor(t *testing.T, what string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); j.count(what) == 0; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("the log has no %q", what)
		}
	}
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func TestDialWaitsForTheServer(t *testing.T) {
	s := natstest.Start(t)
	url := strings.Replace(s.URL(), "nats://", "nats://user:hunter2@", 1)
	s.Stop()
	var log journal
	type result struct {
		bus *bus.NATS
		err error
	}
	dialled := make(chan result, 1)
	go func() { // received below
		n, err := bus.Dial(context.Background(), url, bus.NATSOptions{Log: log.logger()})
		dialled <- result{n, err}
	}()
	log.waitFor(t, "waiting for NATS")
	s.Restart()
	r := receive(t, dialled)
	if r.err != nil {
		t.Fatalf("dial: %v", r.err)
	}
	defer r.bus.Close()
	must(t, r.bus.Probe(within(t)))
	if log.count("hunter2") != 0 {
		t.Error("the password is in the log")
	}
}

func TestDialGivesUp(t *testing.T) {
	s := natstest.Start(t)
	s.Stop()
	url := strings.Replace(s.URL(), "nats://", "nats://user:hunter2@", 1)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context //nolint:containedctx // a table
		url     string
		options bus.NATSOptions
		want    error
	}{
		"no server":    {t.Context(), url, bus.NATSOptions{ConnectTimeout: time.Millisecond}, context.DeadlineExceeded},
		"context":      {canceled, url, bus.NATSOptions{}, context.Canceled},
		"URL":          {t.Context(), "nats://user:hunter2@%zz", bus.NATSOptions{}, nil},
		"creds file":   {t.Context(), url, bus.NATSOptions{CredsFile: "absent"}, os.ErrNotExist},
		"CA file":      {t.Context(), url, bus.NATSOptions{CAFile: "absent"}, os.ErrNotExist},
		"half a pair":  {t.Context(), url, bus.NATSOptions{CertFile: os.DevNull}, nil},
		"missing pair": {t.Context(), url, bus.NATSOptions{CertFile: "absent", KeyFile: "absent"}, os.ErrNotExist},
	} {
		n, err := bus.Dial(c.ctx, c.url, c.options)
		if err == nil {
			n.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is in the error: %v", name, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	user := natstest.Run(t, natstest.With(func(o *server.Options) { o.Username, o.Password = "mesh", "p" }))
	token := natstest.Run(t, natstest.With(func(o *server.Options) { o.Authorization = "t0ken" }))
	brief := bus.NATSOptions{ConnectTimeout: 10 * time.Millisecond}
	for name, c := range map[string]struct {
		url     string
		options bus.NATSOptions
		ok      bool
	}{
		"user in the URL":  {strings.Replace(user, "//", "//mesh:p@", 1), bus.NATSOptions{}, true},
		"token in the URL": {strings.Replace(token, "//", "//t0ken@", 1), bus.NATSOptions{}, true},
		"token":            {token, bus.NATSOptions{Token: "t0ken"}, true},
		"wrong password":   {strings.Replace(user, "//", "//mesh:q@", 1), brief, false},
		"none":             {token, brief, false},
	} {
		n, err := bus.Dial(t.Context(), c.url, c.options)
		if (err == nil) != c.ok {
			t.Errorf("%s: got error %v, want success %v", name, err, c.ok)
		}
		if n != nil {
			must(t, n.Probe(within(t)))
			n.Close()
		}
	}
}

func TestTLS(t *testing.T) {
	config, ca := certificate(t)
	url := natstest.Run(t, natstest.With(func(o *server.Options) { o.TLS, o.TLSConfig = true, config }))
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, ca, 0o600))
	n, err := bus.Dial(t.Context(), url, bus.NATSOptions{CAFile: file})
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer n.Close()
	must(t, n.Probe(within(t)))
	if n, err := bus.Dial(t.Context(), url, bus.NATSOptions{ConnectTimeout: 10 * time.Millisecond}); err == nil {
		n.Close()
		t.Error("a server of an unknown authority was trusted")
	}
}

func TestConnectionsHaveNames(t *testing.T) {
	s := natstest.Start(t)
	dial(t, s.URL())
	connections, err := s.Server().Connz(nil)
	must(t, err)
	var names []string
	for _, c := range connections.Conns {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	if want := []string{"app-0123456789.control", "app-0123456789.data"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestInProcessServer(t *testing.T) {
	s := natstest.Start(t, natstest.With(func(o *server.Options) { o.DontListen, o.MaxPayload = true, 5000 }))
	n, err := bus.Dial(t.Context(), "", bus.NATSOptions{InProcess: s.Server()})
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer n.Close()
	must(t, n.Probe(within(t)))
	if got := n.MaxPayload(); got != 5000 {
		t.Errorf("max payload: got %d, want the server's 5000", got)
	}
}

func TestRefusedSubscriptionIsAnError(t *testing.T) {
	url := natstest.Run(t, natstest.With(func(o *server.Options) {
		deny := &server.SubjectPermission{Deny: []string{"secret.*"}}
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{Subscribe: deny, Publish: deny}}}
	}))
	var log journal
	n, err := bus.Dial(t.Context(), strings.Replace(url, "//", "//u:p@", 1), bus.NATSOptions{Log: log.logger()})
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer n.Close()
	r := n.NewReceiver(bus.Data, 1)
	if err := r.Subscribe("secret.x", "", func(bus.Msg) {}); err == nil {
		t.Error("subscribe to a refused subject: no error")
	}
	if err := r.Subscribe("open.x", "", func(bus.Msg) {}); err != nil {
		t.Errorf("subscribe to an open subject: %v", err)
	}
	must(t, n.Publish("secret.y", nil))
	log.waitFor(t, "secret.y")
}

func TestFullReceiverIsLoggedOnce(t *testing.T) {
	url := natstest.Run(t)
	var log journal
	n, err := bus.Dial(t.Context(), url, bus.NATSOptions{Log: log.logger()})
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer n.Close()
	for range 2 {
		r := n.NewReceiver(bus.Data, 1)
		must(t, r.Subscribe("full", "", func(bus.Msg) {}))
		for range 50 {
			must(t, n.Send("full", "", nil))
		}
		for range 2 { // the second is behind the messages on both connections
			must(t, n.Probe(within(t)))
		}
		if got := r.Dropped(); got != 49 {
			t.Errorf("dropped: got %d, want 49", got)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		must(t, r.Run(ended))
	}
	log.waitFor(t, "messages lost")
	if got := log.count("messages lost"); got != 1 {
		t.Errorf("logged %d times, want once", got)
	}
}

func BenchmarkNATSRoundTrip1(b *testing.B) {
	url := natstest.Run(b)
	roundTrips(b, dial(b, url), dial(b, url), 1)
}

func BenchmarkNATSRoundTrip64(b *testing.B) {
	url := natstest.Run(b)
	roundTrips(b, dial(b, url), dial(b, url), 64)
}

func BenchmarkHybridRoundTrip1(b *testing.B) {
	h, _ := hybrid(b, natstest.Run(b))
	roundTrips(b, h, h, 1)
}

func BenchmarkHybridRoundTrip64(b *testing.B) {
	h, _ := hybrid(b, natstest.Run(b))
	roundTrips(b, h, h, 64)
}
