package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/pkg/engine"
)

// quiet is a handler that nothing comes of.
type quiet struct{}

func (quiet) Message([]byte, bool)        {}
func (quiet) EndBatch()                   {}
func (quiet) Closed(engine.Reason, error) {}

// FuzzRequest lets another edge send the head of whatever request: it is refused, or answered with a status, and opens no
// session but by a proper handshake.
func FuzzRequest(f *testing.F) {
	add := func(q *siomeshv1.RelayRequest) {
		head, err := proto.Marshal(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(head)
	}
	header := func(name string, values ...string) *siomeshv1.Handshake_Header {
		return &siomeshv1.Handshake_Header{Name: name, Values: values}
	}
	add(&siomeshv1.RelayRequest{Method: "GET", Uri: "/engine.io/?EIO=4&transport=polling", Host: "a", Remote: "1.2.3.4:5", Minor: 1})
	add(&siomeshv1.RelayRequest{Method: "POST", Uri: "http://b/engine.io/?sid=x%00", Headers: []*siomeshv1.Handshake_Header{header("Origin", "a\x01"), header("")}})
	add(&siomeshv1.RelayRequest{
		Method: "GET", Uri: "/engine.io/?EIO=4&transport=websocket", Host: "a", Minor: 1, Headers: []*siomeshv1.Handshake_Header{
			header("Upgrade", "websocket"), header("Connection", "upgrade"), header("Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
			header("Sec-Websocket-Version", "13"),
		},
	})
	add(&siomeshv1.RelayRequest{Method: "\r\n", Uri: "*", Minor: 1 << 31})
	f.Add([]byte("\x0a\x03GET\x12\xff\xff\xff\xff\x0f"))
	var session *engine.Session
	srv, err := engine.New(func(s *engine.Session, _ *http.Request) (engine.Handler, error) {
		session = s
		return quiet{}, nil
	}, engine.Config{AllowEIO3: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Close(ctx); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, head []byte) {
		r, err := relayedRequest(head, nil)
		if err != nil {
			return
		}
		if r.URL == nil || r.Header == nil || r.Body == nil {
			t.Fatalf("incomplete request %+v", r)
		}
		if r.Body != http.NoBody {
			r.Body = http.NoBody // there is no stream
		}
		before, w := srv.ClientsCount(), httptest.NewRecorder()
		joined := false
		srv.ServeRelayed(w, r.WithContext(t.Context()), func() (net.Conn, error) {
			joined = true
			return nil, errors.New("no stream")
		})
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("status %d", w.Code)
		}
		if opened := srv.ClientsCount() - before; opened != 0 && (opened != 1 || w.Code != http.StatusOK || joined || r.Method != http.MethodGet) {
			t.Errorf("%d sessions, status %d, joined %v, method %q", opened, w.Code, joined, r.Method)
		} else if opened == 1 {
			session.Discard(engine.ForcedClose)
		}
	})
}

// FuzzAnswer lets the owner of a session answer whatever it may: what is passed on to a client has a status that there is, and
// nothing panics.
func FuzzAnswer(f *testing.F) {
	for _, status := range []int{200, 0, 101, 413, 100, 999, 1000, -1} {
		f.Add(append(appendAnswer(nil, status, http.Header{"Content-Type": {"text/plain"}, "X-Y": {"a", "b"}}), "body"...))
	}
	f.Add([]byte{0x80, 0x80, 0x04, 1})
	f.Add([]byte{5, 8, 200, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bufio.NewReader(bytes.NewReader(data))
		answer, err := parseAnswer(in)
		if err != nil || answer.GetStatus() == http.StatusSwitchingProtocols {
			return
		}
		w := httptest.NewRecorder()
		if err := passAnswer(w, answer, in); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Errorf("pass answer: %v", err)
		}
		if w.Code != int(answer.GetStatus()) || w.Code < 200 || !bytes.HasSuffix(data, w.Body.Bytes()) {
			t.Errorf("status %d of %d, body %q", w.Code, answer.GetStatus(), w.Body)
		}
	})
}
