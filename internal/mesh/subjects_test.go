package mesh_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
)

// TestSubjects is the contract with programs in other languages and with the permissions of NATS accounts: every subject
// of the mesh, literally.
func TestSubjects(t *testing.T) {
	var (
		edge  = mesh.Address{Kind: mesh.KindEdge, Instance: instance(t, "Edge000001")}
		rooms = mesh.Address{Kind: mesh.KindRooms, Instance: instance(t, "Rooms00001")}
		auth  = mesh.Address{Kind: mesh.KindAuth, Instance: instance(t, "Auth000001")}
		app   = mesh.Address{Kind: mesh.KindApp, App: "chat-2", Instance: instance(t, "App0000001")}
		s     mesh.Subjects
	)
	for _, c := range []struct{ got, want string }{
		{s.AuthConnect(), "sio.v1.auth.connect"},
		{s.AuthHandshake(), "sio.v1.auth.handshake"},
		{s.AuthEvents(), "sio.v1.auth.events"},
		{mesh.AuthQueue, "auth"},

		{s.In(app, mesh.From(edge)), "sio.v1.app.chat-2.App0000001.in.edge"},
		{s.In(app, mesh.From(rooms)), "sio.v1.app.chat-2.App0000001.in.rooms"},
		{s.InAll(app), "sio.v1.app.chat-2.App0000001.in.*"},
		{s.In(rooms, mesh.From(app)), "sio.v1.rooms.Rooms00001.in.app-chat-2"},
		{s.In(rooms, mesh.From(edge)), "sio.v1.rooms.Rooms00001.in.edge"},
		{s.InAll(rooms), "sio.v1.rooms.Rooms00001.in.*"},
		{s.In(edge, mesh.From(rooms)), "sio.v1.edge.Edge000001.in.rooms"},
		{s.In(edge, mesh.From(app)), "sio.v1.edge.Edge000001.in.app-chat-2"},
		{s.In(edge, mesh.From(edge)), "sio.v1.edge.Edge000001.in.edge"},
		{s.In(edge, mesh.From(auth)), "sio.v1.edge.Edge000001.in.auth"},
		{s.InAll(edge), "sio.v1.edge.Edge000001.in.*"},

		{s.RPC(edge), "sio.v1.edge.Edge000001.rpc"},
		{s.RPC(rooms), "sio.v1.rooms.Rooms00001.rpc"},
		{s.RPC(auth), "sio.v1.auth.Auth000001.rpc"},
		{s.RPC(app), "sio.v1.app.App0000001.rpc"},

		{s.Presence(mesh.KindApp, "chat-2"), "sio.v1.presence.app.chat-2"},
		{s.Presence(mesh.KindEdge, "edge"), "sio.v1.presence.edge.edge"},
		{s.PresenceAll(), "sio.v1.presence.*.*"},
		{s.Who(), "sio.v1.presence.who"},

		{event(t, s, "chat-2", "message"), "sio.v1.event.chat-2.message"},
		{event(t, s, "chat-2", "user:rename now"), "sio.v1.event.chat-2.user:rename%20now"},
		{s.API("emit"), "sio.v1.api.emit"},

		{prefixed(t, "").Who(), "sio.v1.presence.who"},
		{prefixed(t, "prod_EU-1").Who(), "prod_EU-1.v1.presence.who"},
		{prefixed(t, "prod_EU-1").InAll(edge), "prod_EU-1.v1.edge.Edge000001.in.*"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestFromOfIsTheInverseOfFrom(t *testing.T) {
	var s mesh.Subjects
	to := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
	for _, from := range []mesh.Address{
		{Kind: mesh.KindEdge},
		{Kind: mesh.KindRooms},
		{Kind: mesh.KindAuth},
		{Kind: mesh.KindApp, App: "chat"},
		{Kind: mesh.KindApp, App: "app-app"},
		{Kind: mesh.KindApp, App: "edge"},
	} {
		kind, app := mesh.FromOf(s.In(to, mesh.From(from)))
		if kind != from.Kind || app != from.App {
			t.Errorf("%s %q: got %s %q", from.Kind, from.App, kind, app)
		}
	}
	if kind, app := mesh.FromOf("edge"); kind != mesh.KindEdge || app != "" {
		t.Errorf("a bare token: got %s %q, want edge", kind, app)
	}
}

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "%",
		"%":                            "%25",
		"*":                            "%2A",
		">":                            "%3E",
		"a.>":                          "a%2E%3E",
		"a b\r\n":                      "a%20b%0D%0A",
		"\x00\xff":                     "%00%FF",
		"azAZ09_:-":                    "azAZ09_:-",
		"é":                            "%C3%A9",
		"👍":                            "%F0%9F%91%8D",
		strings.Repeat("x", 128):       strings.Repeat("x", 128),
		strings.Repeat(".", 42):        strings.Repeat("%2E", 42),
		strings.Repeat(".", 42) + "xy": strings.Repeat("%2E", 42) + "xy",
	} {
		got, err := mesh.Escape(text)
		if err != nil || got != want {
			t.Errorf("%q: got %q, error %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		strings.Repeat("x", 129), strings.Repeat(".", 43), strings.Repeat("x", 127) + ".", strings.Repeat("👍", 11),
	} {
		if got, err := mesh.Escape(text); !errors.Is(err, mesh.ErrTokenTooLong) {
			t.Errorf("%d bytes: got %q, error %v; want %v", len(text), got, err, mesh.ErrTokenTooLong)
		}
	}
	if _, err := (mesh.Subjects{}).Event("chat", strings.Repeat("x", 129)); !errors.Is(err, mesh.ErrTokenTooLong) {
		t.Errorf("event: got error %v, want %v", err, mesh.ErrTokenTooLong)
	}
}

func TestNewSubjectsRefusesWhatIsNoToken(t *testing.T) {
	for _, prefix := range []string{"a.b", "*", ">", " ", "a b", "a:b", "a%", "$SYS", "é", "a\x00", strings.Repeat("x", 33)} {
		if _, err := mesh.NewSubjects(prefix); !errors.Is(err, mesh.ErrPrefix) {
			t.Errorf("%q: got error %v, want %v", prefix, err, mesh.ErrPrefix)
		}
	}
	prefixed(t, strings.Repeat("x", 32))
}

func instance(tb testing.TB, text string) mesh.InstanceID {
	tb.Helper()
	id, err := mesh.ParseInstanceID(text)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

func prefixed(tb testing.TB, prefix string) mesh.Subjects {
	tb.Helper()
	s, err := mesh.NewSubjects(prefix)
	if err != nil {
		tb.Fatalf("prefix %q: %v", prefix, err)
	}
	return s
}

func event(tb testing.TB, s mesh.Subjects, app, name string) string {
	tb.Helper()
	subject, err := s.Event(app, name)
	if err != nil {
		tb.Fatalf("event %q: %v", name, err)
	}
	return subject
}
