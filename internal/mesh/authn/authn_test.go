package authn_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// TestRequestOnTheWire shows the contract as other languages see it.
func TestRequestOnTheWire(t *testing.T) {
	opened := time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)
	q := &authn.ConnectRequest{
		Namespace: "/chat",
		Socket:    "abc",
		Auth:      json.RawMessage(`{"token":"t"}`),
		Handshake: authn.Handshake{
			Headers: map[string]authn.Values{"cookie": {"a=b"}, "via": {"x", "y"}},
			Query:   map[string]authn.Values{"EIO": {"4"}, "none": nil},
			Address: "192.0.2.1", Secure: true, URL: "/socket.io/?EIO=4", Time: opened,
		},
	}
	got, err := json.Marshal(q)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	want := `{"namespace":"/chat","socket":"abc","auth":{"token":"t"},"handshake":{` +
		`"headers":{"cookie":"a=b","via":["x","y"]},"query":{"EIO":"4","none":[]},"address":"192.0.2.1","secure":true,` +
		`"url":"/socket.io/?EIO=4","time":"2025-03-04T05:06:07Z"}}`
	if string(got) != want {
		t.Errorf("request\n got %s\nwant %s", got, want)
	}
	back, err := authn.DecodeConnectRequest(got)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	q.Handshake.Query["none"] = authn.Values{}
	if !reflect.DeepEqual(back, q) {
		t.Errorf("decoded\n got %+v\nwant %+v", back, q)
	}
}

func TestDecodeConnectRequest(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		ok         bool
	}{
		{"least", `{"namespace":"/"}`, true},
		{"unknown fields", `{"namespace":"/a b\u0000ü","socket":"s","more":[1],"handshake":{"more":{}}}`, true},
		{"auth null", `{"namespace":"/","auth":null}`, true},
		{"empty", ``, false},
		{"not JSON", `namespace=/`, false},
		{"cut", `{"namespace":"/"`, false},
		{"array", `["/"]`, false},
		{"no namespace", `{}`, false},
		{"namespace without slash", `{"namespace":"chat"}`, false},
		{"namespace number", `{"namespace":1}`, false},
		{"auth string", `{"namespace":"/","auth":"secret"}`, false},
		{"auth array", `{"namespace":"/","auth":["secret"]}`, false},
		{"header number", `{"namespace":"/","handshake":{"headers":{"a":1}}}`, false},
		{"bad time", `{"namespace":"/","handshake":{"time":"yesterday"}}`, false},
	} {
		q, err := authn.DecodeConnectRequest([]byte(tt.wire))
		if tt.ok != (err == nil) {
			t.Errorf("%s: err = %v, want ok %t", tt.name, err, tt.ok)
		}
		if err != nil && !errors.Is(err, authn.ErrUnreadable) {
			t.Errorf("%s: err = %v, want ErrUnreadable", tt.name, err)
		}
		if err == nil && q.Auth != nil {
			t.Errorf("%s: auth = %s, want none", tt.name, q.Auth)
		}
	}
}

func TestDecodeConnectReply(t *testing.T) {
	expires, three := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), 3.0
	for _, tt := range []struct {
		name, wire string
		want       *authn.ConnectReply // nil: unreadable
	}{
		{
			"all of a permission", `{"allow":true,"user":"u1","data":{"a":1},"rooms":["r"],"expires_at":"2030-01-02T03:04:05Z","limits":{"x":2,"event_burst":3}}`,
			&authn.ConnectReply{Allow: true, User: "u1", Data: json.RawMessage(`{"a":1}`), Rooms: []string{"r"}, ExpiresAt: expires, Limits: &authn.Limits{EventBurst: &three}},
		},
		{"least permission", ` {"allow":true} `, &authn.ConnectReply{Allow: true}},
		{"nulls", `{"allow":true,"user":null,"data":null,"rooms":null,"expires_at":null,"limits":null}`, &authn.ConnectReply{Allow: true}},
		{"unknown field", `{"allow":true,"role":"admin"}`, &authn.ConnectReply{Allow: true}},
		{"message of a permission", `{"allow":true,"message":"hi"}`, &authn.ConnectReply{Allow: true}},
		{"refusal", `{"allow":false,"message":"no","data":[1]}`, &authn.ConnectReply{Message: "no", Data: json.RawMessage(`[1]`)}},
		{"refusal grants nothing", `{"allow":false,"user":"u","rooms":["r"]}`, &authn.ConnectReply{}},
		{"long refusal", `{"allow":false,"message":"` + strings.Repeat("ü", 600) + `"}`, &authn.ConnectReply{Message: strings.Repeat("ü", 512)}},
		{"long refusal, odd cut", `{"allow":false,"message":"x` + strings.Repeat("ü", 600) + `"}`, &authn.ConnectReply{Message: "x" + strings.Repeat("ü", 511)}},
		{"empty", ``, nil},
		{"true", `true`, nil},
		{"null", `null`, nil},
		{"allow missing", `{"user":"u"}`, nil},
		{"allow null", `{"allow":null}`, nil},
		{"allow string", `{"allow":"true"}`, nil},
		{"allow number", `{"allow":1}`, nil},
		{"data no object", `{"allow":true,"data":[]}`, nil},
		{"rooms no strings", `{"allow":true,"rooms":[1]}`, nil},
		{"bad time", `{"allow":true,"expires_at":"tomorrow"}`, nil},
		{"two values", `{"allow":true}{"allow":false}`, nil},
		{"limits no object", `{"allow":true,"limits":5}`, nil},
		{"limit no number", `{"allow":true,"limits":{"events_per_second":"5"}}`, nil},
		{"negative limit", `{"allow":true,"limits":{"events_per_second":-1}}`, nil},
		{"limit of hours", `{"allow":true,"limits":{"bytes_per_second":0.5}}`, nil},
		{"limit beyond all", `{"allow":true,"limits":{"byte_burst":1e13}}`, nil},
		{"half an event", `{"allow":true,"limits":{"event_burst":1.5}}`, nil},
	} {
		got, err := authn.DecodeConnectReply([]byte(tt.wire))
		switch {
		case tt.want == nil && !errors.Is(err, authn.ErrUnreadable):
			t.Errorf("%s: got %+v, %v, want ErrUnreadable", tt.name, got, err)
		case tt.want != nil && (err != nil || !reflect.DeepEqual(got, tt.want)):
			t.Errorf("%s:\n got %+v, %v\nwant %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestAsk(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answer   string // "-": none, "": nobody there
		patience time.Duration
		want     error
	}{
		{"allowed", `{"allow":true,"user":"u"}`, 10 * time.Second, nil},
		{"no responders", "", 10 * time.Second, authn.ErrUnavailable},
		{"silence", "-", 50 * time.Millisecond, authn.ErrUnavailable},
		{"unreadable", `{}`, 10 * time.Second, authn.ErrUnreadable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bus.NewMemory()
			ctx, cancel := context.WithTimeout(t.Context(), tt.patience)
			defer cancel()
			running, stop := context.WithCancel(t.Context())
			defer stop()
			stopped := make(chan error, 1)
			if tt.answer != "" {
				r := b.NewReceiver(bus.Control, 1)
				err := r.Subscribe("sio.v1.auth.connect", mesh.AuthQueue, func(m bus.Msg) {
					if _, err := authn.DecodeConnectRequest(m.Data); err != nil {
						t.Errorf("request: %v", err)
					}
					if tt.answer != "-" {
						if err := b.Respond(m, []byte(tt.answer)); err != nil {
							t.Errorf("respond: %v", err)
						}
					}
				})
				if err != nil {
					t.Fatalf("subscribe: %v", err)
				}
				go func() { stopped <- r.Run(running) }() // waited for below
			} else {
				stopped <- nil
			}
			got, err := authn.Ask(ctx, b, mesh.Subjects{}, &authn.ConnectRequest{Namespace: "/", Socket: "s"})
			if !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
			if tt.want == nil && (got == nil || !got.Allow || got.User != "u") {
				t.Errorf("reply = %+v, want user u allowed", got)
			}
			stop()
			if err := <-stopped; err != nil {
				t.Errorf("receiver: %v", err)
			}
		})
	}
}

// TestAskTooLarge: what cannot be sent will not be sent later either, so it must not be held.
func TestAskTooLarge(t *testing.T) {
	b := bus.NewMemory()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	auth := json.RawMessage(`{"token":"` + strings.Repeat("x", b.MaxPayload()) + `"}`)
	_, err := authn.Ask(ctx, b, mesh.Subjects{}, &authn.ConnectRequest{Namespace: "/", Auth: auth})
	if !errors.Is(err, bus.ErrTooLarge) || errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("err = %v, want ErrTooLarge and not ErrUnavailable", err)
	}
}

func FuzzDecodeConnectReply(f *testing.F) {
	f.Add([]byte(`{"allow":true,"data":{}}`))
	f.Add([]byte(`{"allow":false,"message":"\ud800"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := authn.DecodeConnectReply(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("marshal %+v: %v", r, err)
		}
		if _, err := authn.DecodeConnectReply(again); err != nil {
			t.Fatalf("decode %s: %v", again, err)
		}
	})
}

// TestAskSendsTextAsItIs: what clients send is not made larger on the way.
func TestAskSendsTextAsItIs(t *testing.T) {
	b := bus.NewMemory()
	defer b.Close()
	var names mesh.Subjects
	service := b.NewReceiver(bus.Control, 1)
	asked := make(chan []byte, 1)
	err := service.Subscribe(names.AuthConnect(), mesh.AuthQueue, func(m bus.Msg) {
		asked <- m.Data
		if err := b.Respond(m, []byte(`{"allow":true}`)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }() // received below
	q := &authn.ConnectRequest{Namespace: "/", Auth: json.RawMessage(`{"token":"<&>"}`)}
	if _, err := authn.Ask(ctx, b, names, q); err != nil {
		t.Fatalf("Ask: %v", err)
	}
	if got := <-asked; !strings.Contains(string(got), `"<&>"`) {
		t.Errorf("asked %s, want the token as it was", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}
