package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// bench is a service in a mesh where nobody else is, and a program that knows NATS alone. What the service does with a mesh is
// shown in e2e/cluster.
type bench struct {
	tb       testing.TB
	nc       *nats.Conn
	service  *Service
	registry *prometheus.Registry
	stop     func() // ends Run and waits for it
}

func newBench(tb testing.TB, cfg Config, options ...natstest.Option) *bench {
	tb.Helper()
	b := &bench{tb: tb, registry: prometheus.NewRegistry()}
	url := natstest.Run(tb, options...)
	outside, err := bus.Dial(tb.Context(), url, bus.NATSOptions{Name: "api"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(outside.Close)
	if cfg.Metrics, err = NewMetrics(b.registry); err != nil {
		tb.Fatal(err)
	}
	over := bus.NewMemory()
	tb.Cleanup(over.Close)
	if b.service, err = New(over, outside, mesh.Subjects{}, slog.New(slog.DiscardHandler), cfg); err != nil {
		tb.Fatal(err)
	}
	if b.service.Healthy() {
		tb.Error("healthy before Run")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.service.Run(ctx) }() // stop receives
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run = %v, want nil", err)
		}
		ended <- nil
	}
	tb.Cleanup(func() { b.stop() })
	select {
	case <-b.service.Ready():
	case <-time.After(patience):
		tb.Fatal("not ready")
	}
	if b.nc, err = nats.Connect(url); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.nc.Close)
	return b
}

// fail makes a request that is refused with a code, and with a message that contains the text.
func (b *bench) fail(verb, request string, want code, text string) {
	b.tb.Helper()
	m, err := b.nc.Request("sio.v1.api."+verb, []byte(request), patience)
	if err != nil {
		b.tb.Fatalf("%s %.100s: %v", verb, request, err)
	}
	var got struct{ Error failure }
	if err := json.Unmarshal(m.Data, &got); err != nil || got.Error.Code != want || !strings.Contains(got.Error.Message, text) {
		b.tb.Errorf("%s %.100s: got %s, want %s … %s", verb, request, m.Data, want, text)
	}
	if h := m.Header.Get(micro.ErrorCodeHeader); h != fmt.Sprint(want.status()) || m.Header.Get(micro.ErrorHeader) != oneLine(got.Error.Message) {
		b.tb.Errorf("%s %.100s: headers are %v, want %d and %s", verb, request, m.Header, want.status(), got.Error.Message)
	}
}

func TestRefusals(t *testing.T) {
	b := newBench(t, Config{MaxTimeout: 30 * time.Second})
	everywhere := map[string]string{ // added to a request that is right
		`"rooms":[]`:              "rooms is empty",
		`"ids":[]`:                "ids is empty",
		`"users":[]`:              "users is empty",
		`"except":[]`:             "except is empty",
		`"except_users":[]`:       "except_users is empty",
		`"users":[""]`:            "a user is empty",
		`"except_users":["a",""]`: "a user is empty",
		`"rooms":"a"`:             `is no value for "rooms"`,
		`"ids":[1]`:               `is no value for "ids"`,
		`"excpet":["a"]`:          `unknown field "excpet"`,
		`"namespace":"a"`:         `namespace "a" does not begin with a slash`,
		`"namespace":7`:           `is no value for "namespace"`,
		`"timeout":-1`:            "timeout must be from 1 to 30000 milliseconds",
		`"timeout":30001`:         "timeout must be from 1 to 30000 milliseconds",
		`"timeout":1.5`:           `is no value for "timeout"`,
		`"timeout":9999999999`:    "timeout must be from 1 to 30000 milliseconds",
	}
	right := map[string]string{
		"emit": `"event":"e"`, "join": `"join":["a"]`, "leave": `"leave":["a"]`, "disconnect": `"close":true`, "fetch": `"limit":1,"after":"x"`,
		"count": `"timeout":1`,
	}
	for verb, request := range right {
		for slip, text := range everywhere {
			b.fail(verb, "{"+request+","+slip+"}", invalidRequest, text)
		}
	}
	for verb := range map[string]bool{"emit": true, "join": true, "leave": true, "disconnect": true, "fetch": true, "count": true, "serverSideEmit": true} {
		b.fail(verb, `[]`, invalidRequest, "array is not an object")
		b.fail(verb, `{"timeout":1`, invalidRequest, "the JSON ends too early")
		b.fail(verb, `{} {}`, invalidRequest, "something follows")
		b.fail(verb, `{"namespace":"/`+"\xff"+`"}`, invalidRequest, "not UTF-8")
		b.fail(verb, `nothing`, invalidRequest, "invalid character")
	}
	for _, verb := range []string{"emit", "serverSideEmit"} {
		b.fail(verb, `{}`, invalidRequest, "event is missing")
		b.fail(verb, `{"event":null}`, invalidRequest, "event is missing")
		b.fail(verb, `{"event":1}`, invalidRequest, `is no value for "event"`)
		b.fail(verb, `{"event":"e","args":{}}`, invalidRequest, "args is not an array")
		b.fail(verb, `{"event":"e","args":"[]"}`, invalidRequest, "args is not an array")
		b.fail(verb, `{"event":"connect"}`, reservedEvent, `"connect" is a reserved event name`) // EMI-005
		for bad, text := range map[string]string{
			`{"$binary":1}`:                                  "$binary is not a string",
			`{"$binary":"AQ"}`:                               "$binary is not base64",
			`{"$binary":"A-8="}`:                             "$binary is not base64",
			`{"$binary":"AQ==","a":1}`:                       "has other keys too",
			`{"a":[],"$binary":"AQ=="}`:                      "has other keys too",
			`{"\u0024binary":{}}`:                            "$binary is not a string",
			`{"_placeholder":true,"num":0,"$binary":"AQ=="}`: "_placeholder stands beside $binary",
		} {
			b.fail(verb, `{"event":"e","args":[[`+bad+`]]}`, invalidRequest, text)
		}
	}
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		b.fail("emit", fmt.Sprintf(`{"event":%q}`, name), reservedEvent, "is a reserved event name") // EMI-005
		b.fail("emit", fmt.Sprintf(`{"event":%q,"ack":true}`, name), reservedEvent, "is a reserved event name")
	}
	b.fail("serverSideEmit", `{"event":"e","ack":true}`, invalidRequest, "takes no acknowledgements") // EMI-005
	b.fail("serverSideEmit", `{"event":"e","rooms":["a"]}`, invalidRequest, `unknown field "rooms"`)
	b.fail("join", `{}`, invalidRequest, "join, the rooms to be in, is missing")
	b.fail("join", `{"join":[]}`, invalidRequest, "join, the rooms to be in, is missing")
	b.fail("join", `{"join":["\u0000user\u0000ann"]}`, reservedRoom, "reserved room name")
	b.fail("leave", `{"leave":[]}`, invalidRequest, "leave, the rooms to be out of, is missing")
	b.fail("fetch", `{"limit":0}`, invalidRequest, "limit must be from 1 to 1000")
	b.fail("fetch", `{"limit":1001}`, invalidRequest, "limit must be from 1 to 1000")
	b.fail("fetch", `{"after":1}`, invalidRequest, `is no value for "after"`)
	b.fail("fetch", `{"fields":["sid"]}`, invalidRequest, `fields has "sid"`)
	if got := testutil.ToFloat64(b.service.cfg.Metrics.requests.WithLabelValues("join", string(reservedRoom))); got != 1 {
		t.Errorf("%v refusals are counted, want 1", got)
	}
}

// Where there is no rooms service, nothing is done, and whoever asks hears so when the time of the request is over.
func TestNobodyThere(t *testing.T) {
	b := newBench(t, Config{Timeout: 30 * time.Millisecond})
	begun := time.Now()
	for _, request := range []string{
		`emit {"event":"e"}`, `emit {"event":"e","ack":true}`, `join {"join":["a"]}`, `leave {"leave":["a"]}`,
		`disconnect {"timeout":20}`, `fetch {}`, `count {}`, `serverSideEmit {"event":"e"}`,
	} {
		verb, body, _ := strings.Cut(request, " ")
		b.fail(verb, body, unavailable, "no rooms service")
	}
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("it took %v", took)
	}
	m, err := b.nc.Request("sio.v1.api.emit", []byte(`{"event":"e","volatile":true}`), patience)
	if err != nil || string(m.Data) != `{}` { // it may be dropped, and was
		t.Errorf("volatile: got %s, %v", m.Data, err)
	}
}

// Requests beyond the bound are refused at once; those within it are answered also when the service stops.
func TestBounds(t *testing.T) {
	b := newBench(t, Config{Concurrency: 2}, natstest.With(func(o *server.Options) { o.MaxPayload = 32 << 20 }))
	b.fail("emit", `{"event":"e","args":["`+strings.Repeat("x", 17<<20)+`"]}`, tooLarge, "packet too large")
	answers := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(answers)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.nc.PublishRequest("sio.v1.api.emit", answers, []byte(`{"event":"e","timeout":60000}`)); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(patience)
	for b.service.micro.InProgress() < 2 && time.Now().Before(deadline) {
		if err := b.nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	b.fail("count", `{}`, busy, "too many requests")
	if n, err := testutil.GatherAndCount(b.registry, "sio_api_requests_in_progress"); err != nil || n != 1 {
		t.Errorf("the gauge is shown %d times, %v", n, err)
	}
	b.stop()
	for range 2 {
		m, err := sub.NextMsg(patience)
		if err != nil || !strings.Contains(string(m.Data), `"code":"unavailable"`) {
			t.Errorf("got %v, %v, want an answer of the stopping service", m, err)
		}
	}
}

// A request that nobody waits for is carried out all the same, and counted.
func TestPublished(t *testing.T) {
	b := newBench(t, Config{})
	if err := b.nc.Publish("sio.v1.api.emit", []byte(`{"event":"connect"}`)); err != nil {
		t.Fatal(err)
	}
	counted := b.service.cfg.Metrics.requests.WithLabelValues("emit", string(reservedEvent))
	deadline := time.Now().Add(patience)
	for testutil.ToFloat64(counted) < 1 {
		if time.Now().After(deadline) {
			t.Fatal("it is not counted")
		}
		if err := b.nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, bad := range []Config{{Concurrency: -1}, {Timeout: -1}, {Timeout: time.Hour}, {Timeout: 2, MaxTimeout: 1}, {MaxTimeout: -1}} {
		if err := bad.Check(); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if err := (Config{MaxTimeout: time.Second}).Check(); err != nil {
		t.Error(err)
	}
}
