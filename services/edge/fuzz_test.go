package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// still is an edge of which nothing runs, and a client of it that has joined a namespace by hand.
type still struct {
	*Service
	m       *Metrics
	app     *appInstance
	session *engine.Session // opened last

	conn   *conn
	socket *socket
}

func newStill(tb testing.TB, cfg Config) *still {
	tb.Helper()
	b := bus.NewMemory()
	tb.Cleanup(b.Close)
	s := &still{m: &Metrics{}}
	cfg.Metrics = s.m
	cfg.OnSession = func(es *engine.Session, _ *http.Request) { s.session = es }
	var err error
	if s.Service, err = New(b, mesh.Subjects{}, slog.New(slog.DiscardHandler), cfg); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.engine.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	s.app = s.apps.open(mesh.Address{Kind: mesh.KindApp, App: "a", Instance: mesh.NewInstanceID()})
	s.tasks.wait() // a CONNECT starts no join
	return s
}

// open opens a session and joins a namespace, in place of the one before.
func (s *still) open(tb testing.TB) {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/socket.io/?EIO=4&transport=polling", nil)
	rec := httptest.NewRecorder()
	s.engine.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		tb.Fatalf("handshake: status %d", rec.Code)
	}
	s.guests.mu.Lock()
	s.conn = s.guests.waiting.last
	s.guests.mu.Unlock()
	s.socket = &socket{
		conn: s.conn, namespace: []byte("/"), id: "id", cancel: func() {}, state: joined, app: s.app, epoch: 1,
		buckets: s.cfg.buckets(nil),
	}
	s.table.add(s.socket)
	s.conn.sockets = append(s.conn.sockets, s.socket)
	s.conn.entered = true
	s.index.add(s.socket)
}

// leave ends the session.
func (s *still) leave() {
	s.conn.mu.Lock()
	s.conn.endAll(&s.conn.batch, "", "")
	s.conn.mu.Unlock()
	s.session.Discard(engine.ForcedClose)
}

// FuzzMessages lets a client send whatever it may: messages separated by 0x1e, of which those that begin with b are binary.
// What is held for its app stays within bounds, and a connection that breaks a rule is closed.
func FuzzMessages(f *testing.F) {
	f.Add([]byte(`2["a",1]` + "\x1e" + `27["a",{"b":[null]}]` + "\x1e" + `31[1]`))
	f.Add([]byte(`51-["a",{"_placeholder":true,"num":0}]` + "\x1eb\x00\x01\x1e" + `61-3[{"_placeholder":true,"num":0}]` + "\x1eb"))
	f.Add([]byte("0/b,{}\x1e1\x1e" + `2["late"]`))
	f.Add([]byte(strings.Repeat(`2["a"]`+"\x1e", 40)))
	f.Add([]byte(`4{"message":"x"}`))
	s := newStill(f, Config{MaxPackets: 8, MaxBytes: 1000, MaxHeld: 1000, EventsPerSecond: 1e6, BytesPerSecond: 1e6})
	f.Fuzz(func(t *testing.T, script []byte) {
		s.open(t)
		defer s.leave()
		c, before := s.conn, s.m.Malformed.Load()+s.m.InvalidState.Load()
		for i := range 3 {
			s.socket.acks.add(uint64(i+1), 3)
		}
		for message := range bytes.SplitSeq(script, []byte{0x1e}) {
			binary := len(message) > 0 && message[0] == 'b'
			if binary {
				message = message[1:]
			}
			c.Message(bytes.Clone(message), binary)
			if c.closed {
				break // the engine gives it nothing more
			}
		}
		c.EndBatch()
		if sent := s.socket.flow.bytes; sent > 1000+int64(len(script))+100 {
			t.Errorf("%d bytes sent without credit", sent)
		}
		if c.closed && len(c.sockets) > 0 {
			t.Error("a closed connection has sockets")
		}
		if wrong := s.m.Malformed.Load() + s.m.InvalidState.Load() - before; wrong > 1 || wrong == 1 && !c.closed {
			t.Errorf("%d violations, closed %v", wrong, c.closed)
		}
	})
}

// FuzzOperations lets rooms send whatever records an app may have written about the socket. None of the kinds there are
// breaks the link to rooms.
func FuzzOperations(f *testing.F) {
	add := func(records ...*wire.Record) {
		var b []byte
		for _, r := range records {
			r.Namespace = []byte("/")
			b = r.Append(b)
		}
		f.Add(b)
	}
	accept, err := proto.Marshal(&siomeshv1.Accept{SocketId: "id", Rooms: []string{"r"}})
	if err != nil {
		f.Fatal(err)
	}
	add(&wire.Record{Kind: wire.KindAccept, Body: accept}, joinRooms("a", "b"), emit(0, `["e"]`))
	add(emit(5, `["e",{"_placeholder":true,"num":0}]`, "bin"), &wire.Record{Kind: wire.KindAck, ID: []byte("7"), Body: packet(`[1]`)})
	add(&wire.Record{Kind: wire.KindData, Body: wire.AppendStrings(nil, []string{"k", "1", "l", ""})}, handled(3))
	add(broadcast(wire.FlagVolatile, wire.Selector{Rooms: []string{"id"}, Except: []string{"x"}}, `["e"]`), refuse(f, "no", `{}`))
	add(&wire.Record{Kind: wire.KindClose, Flags: wire.FlagClose}, &wire.Record{Kind: wire.KindWatch, Body: []byte{1}})
	s := newStill(f, Config{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s.open(t)
		unreadable := s.m.Unreadable.Load()
		from := mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()}
		for n := 0; len(data) > 0 && n < 64; n++ {
			var r wire.Record
			rest, err := r.Parse(data)
			if err != nil {
				break
			}
			data = rest
			r.Origin, r.Epoch = s.app.addr.Instance, 1
			if r.Kind != wire.KindBroadcast {
				r.Socket = s.socket.addr
			}
			before := s.m.Unreadable.Load()
			if err := s.Record(from, &r); err != nil && toSocket(r.Kind) {
				t.Errorf("kind %d: %v", r.Kind, err)
			}
			if s.m.Unreadable.Load() > before+1 {
				t.Errorf("kind %d is counted more than once", r.Kind)
			}
			s.EndFrame()
		}
		s.leave()
		if s.m.Unreadable.Load() == unreadable && len(s.index.namespaces) != 0 {
			t.Error("a socket that is gone is in the index")
		}
	})
}

// toSocket reports whether a record is an operation of an app on one socket.
func toSocket(k wire.Kind) bool {
	switch k {
	case wire.KindAccept, wire.KindRefuse, wire.KindUnknown, wire.KindEmit, wire.KindAck, wire.KindJoin, wire.KindLeave,
		wire.KindClose, wire.KindWatch, wire.KindData, wire.KindHandled:
		return true
	default:
		return false
	}
}

// FuzzHandshake makes what apps and auth are told of a request, whatever that holds: always UTF-8, and the address is one
// that a trusted proxy gave, or the peer's.
func FuzzHandshake(f *testing.F) {
	f.Add("EIO=4&transport=polling&a=%ff&a=b", "X-Thing", "a\xff", "1.2.3.4, 10.0.0.1", "https,http")
	f.Add("%zz;=&&", "Cookie", "", "::ffff:1.2.3.4,unknown", "")
	f.Fuzz(func(t *testing.T, query, name, value, forwarded, scheme string) {
		s := &Service{cfg: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket.io/", nil)
		r.URL.RawQuery, r.Host, r.RemoteAddr = query, value, "10.9.9.9:1"
		r.Header = http.Header{name: {value, name}, "X-Forwarded-For": {forwarded}, "X-Forwarded-Proto": {scheme}}
		h := s.handshake(r)
		data, err := proto.Marshal(h)
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}
		if _, err := netip.ParseAddr(h.GetAddress()); err != nil {
			t.Errorf("address %q of %q", h.GetAddress(), forwarded)
		}
		var again siomeshv1.Handshake
		if err := proto.Unmarshal(data, &again); err != nil {
			t.Fatalf("unmarshal: %v", err)
		}
		question, err := json.Marshal(&authn.ConnectRequest{Namespace: "/", Handshake: toAuth(&again)})
		if err != nil {
			t.Fatalf("question: %v", err)
		}
		if _, err := authn.DecodeConnectRequest(question); err != nil {
			t.Errorf("question %s: %v", question, err)
		}
	})
}

// FuzzConnectOf2 reads whatever may stand behind the namespace of a CONNECT of Socket.IO 2.x: the payload for auth is always
// an object of strings.
func FuzzConnectOf2(f *testing.F) {
	f.Add([]byte("/chat?token=a%20b&token=c&x"))
	f.Add([]byte("/?%zz&\xff=\xff;"))
	f.Fuzz(func(t *testing.T, namespace []byte) {
		p := fromV2(protocol.Packet{Type: protocol.Connect, Namespace: namespace})
		var auth map[string]string
		if err := json.Unmarshal(p.Data, &auth); err != nil || auth == nil || !utf8.Valid(p.Data) {
			t.Errorf("%q: payload %q, %v", namespace, p.Data, err)
		}
		if bytes.ContainsRune(p.Namespace, '?') || !bytes.HasPrefix(namespace, p.Namespace) {
			t.Errorf("%q: namespace %q", namespace, p.Namespace)
		}
	})
}
