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

// TestHandshakeOnTheWire shows the contract as other languages see it.
func TestHandshakeOnTheWire(t *testing.T) {
	q := &authn.HandshakeRequest{Handshake: authn.Handshake{
		Headers: map[string]authn.Values{"cookie": {"a=b"}, "via": {"x", "y"}},
		Query:   map[string]authn.Values{"EIO": {"4"}},
		Address: "192.0.2.1", Secure: true, URL: "/socket.io/?EIO=4", Time: time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC),
	}}
	got, err := json.Marshal(q)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	want := `{"handshake":{"headers":{"cookie":"a=b","via":["x","y"]},"query":{"EIO":"4"},"address":"192.0.2.1",` +
		`"secure":true,"url":"/socket.io/?EIO=4","time":"2025-03-04T05:06:07Z"}}`
	if string(got) != want {
		t.Errorf("request\n got %s\nwant %s", got, want)
	}
	back, err := authn.DecodeHandshakeRequest(got)
	if err != nil || !reflect.DeepEqual(back, q) {
		t.Errorf("decoded\n got %+v, %v\nwant %+v", back, err, q)
	}
}

func TestDecodeHandshakeRequest(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		ok         bool
	}{
		{"least", `{"handshake":{}}`, true},
		{"unknown fields", `{"handshake":{"more":1},"more":[1]}`, true},
		{"empty", ``, false},
		{"no handshake", `{}`, false},
		{"null", `{"handshake":null}`, false},
		{"a connect", `{"namespace":"/"}`, false},
		{"not JSON", `handshake`, false},
		{"array", `[]`, false},
		{"header number", `{"handshake":{"headers":{"a":1}}}`, false},
	} {
		_, err := authn.DecodeHandshakeRequest([]byte(tt.wire))
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, authn.ErrUnreadable) {
			t.Errorf("%s: err = %v, want ok %t", tt.name, err, tt.ok)
		}
	}
}

func TestDecodeHandshakeReply(t *testing.T) {
	unreadable := (*authn.HandshakeReply)(nil)
	for _, tt := range []struct {
		name, wire string
		want       *authn.HandshakeReply
	}{
		{"least permission", ` {"allow":true} `, &authn.HandshakeReply{Allow: true}},
		{"null headers", `{"allow":true,"headers":null}`, &authn.HandshakeReply{Allow: true}},
		{
			"headers", `{"allow":true,"headers":{"set-cookie":["a=1","b=2"],"X-Region":"eu","x-none":[]}}`,
			&authn.HandshakeReply{Allow: true, Headers: map[string]authn.Values{
				"set-cookie": {"a=1", "b=2"}, "X-Region": {"eu"}, "x-none": {},
			}},
		},
		{"unknown field", `{"allow":true,"role":"admin","message":"hi"}`, &authn.HandshakeReply{Allow: true}},
		{"refusal", `{"allow":false,"message":"no"}`, &authn.HandshakeReply{Message: "no"}},
		{"refusal has no headers", `{"allow":false,"headers":{"content-length":"1"}}`, &authn.HandshakeReply{}},
		{"long refusal", `{"allow":false,"message":"` + strings.Repeat("ü", 600) + `"}`, &authn.HandshakeReply{Message: strings.Repeat("ü", 512)}},
		{"empty", ``, unreadable},
		{"true", `true`, unreadable},
		{"null", `null`, unreadable},
		{"allow missing", `{"headers":{}}`, unreadable},
		{"allow string", `{"allow":"true"}`, unreadable},
		{"headers a list", `{"allow":true,"headers":[]}`, unreadable},
		{"a number", `{"allow":true,"headers":{"x":1}}`, unreadable},
		{"a space in the name", `{"allow":true,"headers":{"x y":"1"}}`, unreadable},
		{"no name", `{"allow":true,"headers":{"":"1"}}`, unreadable},
		{"a line break", `{"allow":true,"headers":{"x":"1\r\nset-cookie: a=b"}}`, unreadable},
		{"a zero", `{"allow":true,"headers":{"x":["1","\u0000"]}}`, unreadable},
		{"twice", `{"allow":true,"headers":{"x-a":"1","X-A":"2"}}`, unreadable},
		{"too many", `{"allow":true,"headers":{"x":"` + strings.Repeat("a", 9000) + `"}}`, unreadable},
		{"content-length", `{"allow":true,"headers":{"content-length":"1"}}`, unreadable},
		{"Upgrade", `{"allow":true,"headers":{"Upgrade":"h2c"}}`, unreadable},
		{"CONNECTION", `{"allow":true,"headers":{"CONNECTION":"close"}}`, unreadable},
		{"sec-websocket-accept", `{"allow":true,"headers":{"sec-websocket-accept":"x"}}`, unreadable},
		{"sec-websocket-protocol", `{"allow":true,"headers":{"Sec-WebSocket-Protocol":"x"}}`, unreadable},
		{"transfer-encoding", `{"allow":true,"headers":{"transfer-encoding":"chunked"}}`, unreadable},
		{"content-type", `{"allow":true,"headers":{"content-type":"text/html"}}`, unreadable},
		{"CORS", `{"allow":true,"headers":{"access-control-allow-origin":"*"}}`, unreadable},
	} {
		got, err := authn.DecodeHandshakeReply([]byte(tt.wire))
		switch {
		case tt.want == nil && !errors.Is(err, authn.ErrUnreadable):
			t.Errorf("%s: got %+v, %v, want ErrUnreadable", tt.name, got, err)
		case tt.want != nil && (err != nil || !reflect.DeepEqual(got, tt.want)):
			t.Errorf("%s:\n got %+v, %v\nwant %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestAskHandshake(t *testing.T) {
	b := bus.NewMemory()
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	q := &authn.HandshakeRequest{Handshake: authn.Handshake{URL: "/?a=<"}}
	if _, err := authn.AskHandshake(ctx, b, mesh.Subjects{}, q); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("nobody there: err = %v, want ErrUnavailable", err)
	}
	service := b.NewReceiver(bus.Control, 1)
	err := service.Subscribe("sio.v1.auth.handshake", mesh.AuthQueue, func(m bus.Msg) {
		if got, err := authn.DecodeHandshakeRequest(m.Data); err != nil || got.Handshake.URL != "/?a=<" {
			t.Errorf("asked %s, %v", m.Data, err)
		}
		if err := b.Respond(m, []byte(`{"allow":true,"headers":{"x-a":"1"}}`)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() { ended <- service.Run(running) }() // received below
	got, err := authn.AskHandshake(ctx, b, mesh.Subjects{}, q)
	want := &authn.HandshakeReply{Allow: true, Headers: map[string]authn.Values{"x-a": {"1"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func FuzzDecodeHandshakeReply(f *testing.F) {
	f.Add([]byte(`{"allow":true,"headers":{"x-a":["1","2"],"y":"z"}}`))
	f.Add([]byte(`{"allow":false,"message":"\ud800"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := authn.DecodeHandshakeReply(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("marshal %+v: %v", r, err)
		}
		if _, err := authn.DecodeHandshakeReply(again); err != nil {
			t.Fatalf("decode %s: %v", again, err)
		}
	})
}
