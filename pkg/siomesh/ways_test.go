package siomesh_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/freeport"
	"github.com/siomesh/siomesh/internal/siotest"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// way is how a test reaches a mesh.
type way struct {
	url       string
	path      string       // "/socket.io/" if empty
	http      *http.Client // http.DefaultClient if nil
	encrypted bool
	address   string // that the application sees
}

// application is what every way leads to: it says who comes, and echoes.
func application(io *socketio.Server) error {
	return io.OnConnection(func(s *socketio.Socket) {
		h := s.Handshake()
		_ = s.Emit("hello", h.Secure, h.Address, s.Conn().Transport)
		s.On("echo", func(_ context.Context, e *socketio.Event) error { return e.Ack(e.Args.Values()...) })
	})
}

// newMesh is a mesh with the application, which does not run yet.
func newMesh(t *testing.T, cfg siomesh.Config) *siomesh.Mesh {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	m, err := siomesh.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := application(m.IO()); err != nil {
		t.Fatal(err)
	}
	return m
}

// talk has clients of each transport exchange events with the application.
func talk(t *testing.T, w way) {
	t.Helper()
	for _, transport := range []string{"websocket", "polling", "upgrade"} {
		c, err := siotest.Dial(w.url, siotest.Options{Transport: transport, Path: w.path, HTTP: w.http})
		if err != nil {
			t.Fatalf("%s: %v", transport, err)
		}
		carrier := transport
		if transport == "upgrade" {
			carrier = "websocket"
		}
		address := w.address
		if address == "" {
			address = "127.0.0.1"
		}
		want := `["hello",false,"` + address + `","` + carrier + `"]`
		if w.encrypted {
			want = strings.Replace(want, "false", "true", 1)
		}
		if got := c.Next(); got != want {
			t.Errorf("%s: got %s, want %s", transport, got, want)
		}
		if got, want := c.Ask("echo", "ä", []byte{1, 2}), `["ä",<0102>]`; got != want {
			t.Errorf("%s: got %s, want %s", transport, got, want)
		}
		c.Close()
	}
}

// listen is a listener on a port that was free.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// TestStandalone: a mesh with a port of its own; it ends with all clients, and another can listen there.
func TestStandalone(t *testing.T) {
	address := freeport.Address(t)
	for range 3 {
		m := newMesh(t, siomesh.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ln := listen(t, address)                  // SRV-001: the port is free again
		go func() { ended <- m.Serve(ctx, ln) }() // received below
		<-m.Ready()
		base := "http://" + address
		talk(t, way{url: base}) // SRV-007
		if status, _ := get(t, http.DefaultClient, base+"/"); status != http.StatusNotFound {
			t.Errorf("another path: got %d, want 404", status)
		}
		stays, err := siotest.Dial(base, siotest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		polls, err := siotest.Dial(base, siotest.Options{Transport: "polling"})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, c := range []*siotest.Client{stays, polls} {
			c.Next()                              // hello
			if got := c.Next(); got != "closed" { // SRV-001, SRV-003; what else would be left, TestMain finds
				t.Errorf("after the end: got %s, want closed", got)
			}
			c.Close()
		}
		http.DefaultClient.CloseIdleConnections()
	}
}

func TestPortInUse(t *testing.T) {
	ln := listen(t, "127.0.0.1:0")
	defer ln.Close()
	m := newMesh(t, siomesh.Config{})
	if err := m.ListenAndServe(t.Context(), ln.Addr().String()); err == nil {
		t.Error("ListenAndServe at an address in use returned nil")
	}
	if err := m.Run(t.Context()); !errors.Is(err, siomesh.ErrRan) {
		t.Errorf("Run afterwards: got %v, want ErrRan", err)
	}
	m = newMesh(t, siomesh.Config{})
	ln.Close()
	if err := m.Serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve on a closed listener: got %v", err)
	}
}

// TestCloseNotRunning: there is nothing to complain about, and nothing is left of it.
func TestCloseNotRunning(t *testing.T) {
	m := newMesh(t, siomesh.Config{NATSListen: "127.0.0.1:0"})
	for range 2 {
		if err := m.Close(t.Context()); err != nil { // SRV-002
			t.Error(err)
		}
	}
	if err := m.Serve(t.Context(), listen(t, "127.0.0.1:0")); !errors.Is(err, siomesh.ErrRan) {
		t.Errorf("Serve afterwards: got %v, want ErrRan", err)
	}
}

// TestMounted: a mesh in a mux beside other handlers, on a server that was there before it.
func TestMounted(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	hs := httptest.NewServer(mux)
	defer hs.Close()
	if _, text := get(t, hs.Client(), hs.URL+"/socket.io/?EIO=4&transport=polling"); text != "page" {
		t.Errorf("before the mesh: got %q", text)
	}
	first, second := newMesh(t, siomesh.Config{}), newMesh(t, siomesh.Config{Path: "/second/io"})
	mux.Handle("/socket.io/", first)
	mux.Handle("/second/io/", second)
	mux.Handle("/other/", second)
	start(t, first)
	start(t, second)
	talk(t, way{url: hs.URL})
	talk(t, way{url: hs.URL, path: "/second/io/"})
	for path, want := range map[string]int{
		"/":           200,
		"/socket.io":  307, // the mux says where it is
		"/other/x":    404, // SRV-006: options are those of New, wherever the mesh is mounted
		"/second/":    200,
		"/second/io/": 400,
	} {
		if status, _ := get(t, hs.Client(), hs.URL+path); status != want {
			t.Errorf("%s: got %d, want %d", path, status, want)
		}
	}
}

// TestEncrypted: HTTPS, by itself and with HTTP/2, on which a WebSocket is a connection of its own with HTTP/1.1.
func TestEncrypted(t *testing.T) {
	for _, major := range []int{1, 2} {
		m := newMesh(t, siomesh.Config{})
		start(t, m)
		var requests, others atomic.Int64
		hs := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			if r.ProtoMajor != major && r.Header.Get("Upgrade") == "" {
				others.Add(1)
			}
			m.ServeHTTP(w, r)
		}))
		hs.EnableHTTP2 = major == 2
		hs.StartTLS()
		talk(t, way{url: hs.URL, http: hs.Client(), encrypted: true})
		if requests.Load() == 0 || others.Load() != 0 {
			t.Errorf("%d of %d requests were not HTTP/%d", others.Load(), requests.Load(), major)
		}
		hs.Close()
	}
}

// TestServeEncrypted: Serve with a listener of crypto/tls.
func TestServeEncrypted(t *testing.T) {
	hs := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer hs.Close()
	client := hs.Client()
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("got a %T", client.Transport)
	}
	transport.ForceAttemptHTTP2 = true
	m := newMesh(t, siomesh.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	ln := tls.NewListener(listen(t, "127.0.0.1:0"), &tls.Config{
		Certificates: hs.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12,
	})
	go func() { ended <- m.Serve(ctx, ln) }() // received below
	<-m.Ready()
	base := "https://" + ln.Addr().String()
	talk(t, way{url: base, http: client, encrypted: true})
	res := do(t, client, base+"/socket.io/?EIO=4&transport=polling")
	if res.Body.Close(); res.ProtoMajor != 2 || res.StatusCode != http.StatusOK {
		t.Errorf("got %s %s, want HTTP/2 200", res.Proto, res.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestUnencryptedHTTP2: as behind a proxy that speaks h2c with its servers.
func TestUnencryptedHTTP2(t *testing.T) {
	m := newMesh(t, siomesh.Config{})
	start(t, m)
	var second atomic.Int64
	hs := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			second.Add(1)
		}
		m.ServeHTTP(w, r)
	}))
	hs.Config.Protocols = new(http.Protocols)
	hs.Config.Protocols.SetHTTP1(true)
	hs.Config.Protocols.SetUnencryptedHTTP2(true)
	hs.Start()
	defer hs.Close()
	only := new(http.Protocols)
	only.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: only}
	defer transport.CloseIdleConnections()
	talk(t, way{url: hs.URL, http: &http.Client{Transport: transport}})
	if second.Load() == 0 {
		t.Error("no request was HTTP/2")
	}
}

// TestBehindPrefix: a proxy has the mesh under a prefix, and keeps or strips it.
func TestBehindPrefix(t *testing.T) {
	m := newMesh(t, siomesh.Config{TrustedProxies: []string{"127.0.0.1"}})
	origin, err := url.Parse(start(t, m))
	if err != nil {
		t.Fatal(err)
	}
	kept := newMesh(t, siomesh.Config{Path: "/app/socket.io"})
	keptOrigin, err := url.Parse(start(t, kept))
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, 0) // clients break off what waits
	for name, c := range map[string]struct {
		handler http.Handler
		way     way
	}{
		"stripped by a proxy": {
			&httputil.ReverseProxy{ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.URL.Path, r.Out.URL.RawPath = strings.TrimPrefix(r.In.URL.Path, "/app"), ""
				r.SetURL(origin)
				r.Out.Header.Set("X-Forwarded-For", "203.0.113.7")
				r.Out.Header.Set("X-Forwarded-Proto", "https")
			}},
			way{encrypted: true, address: "203.0.113.7"},
		},
		"kept by a proxy":        {&httputil.ReverseProxy{ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(keptOrigin) }}, way{}},
		"stripped in the server": {http.StripPrefix("/app", m), way{}},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.Handle("/app/", c.handler)
			hs := httptest.NewServer(mux)
			defer hs.Close()
			c.way.url, c.way.path = hs.URL, "/app/socket.io/"
			talk(t, c.way)
			if status, _ := get(t, hs.Client(), hs.URL+"/socket.io/?EIO=4&transport=polling"); status != http.StatusNotFound {
				t.Errorf("without the prefix: got %d, want 404", status)
			}
		})
	}
}

// TestOtherPaths: the endpoint is where the configuration says.
func TestOtherPaths(t *testing.T) {
	for _, path := range []string{"/", "/io", "/a/b/", "/a%20b"} { // as it is in requests
		m := newMesh(t, siomesh.Config{Path: path})
		talk(t, way{url: start(t, m), path: strings.TrimSuffix(path, "/") + "/"})
	}
}

// TestConnected: the same application, as a program of its own.
func TestConnected(t *testing.T) {
	m, err := siomesh.New(siomesh.Config{Log: slog.New(slog.DiscardHandler), NATSListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	w := way{url: start(t, m)}
	for range 2 { // it comes again
		app, err := socketio.Connect(t.Context(), m.NATSURL(), socketio.Config{App: "outside", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := application(app); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- app.Run(t.Context()) }() // received below
		talk(t, w)
		ctx, cancel := context.WithTimeout(t.Context(), siotest.Patience)
		if err := errors.Join(app.Close(ctx), <-ended); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

// TestCloseWaitsForTheMesh: an application that closes waits until what it did has reached the clients, but not for a mesh that
// is gone.
func TestCloseWaitsForTheMesh(t *testing.T) {
	m, err := siomesh.New(siomesh.Config{Log: slog.New(slog.DiscardHandler), NATSListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	base := start(t, m)
	for _, gone := range []bool{false, true} {
		cfg := socketio.Config{App: "outside", Log: slog.New(slog.DiscardHandler)}
		if gone {
			cfg.DrainTimeout, cfg.EmitTimeout = 300*time.Millisecond, 100*time.Millisecond
		}
		app, err := socketio.Connect(t.Context(), m.NATSURL(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := application(app); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- app.Run(t.Context()) }() // received below
		c := connect(t, base)
		c.Next() // hello
		ctx, cancel := context.WithTimeout(t.Context(), siotest.Patience)
		if gone {
			if err := m.Close(ctx); err != nil {
				t.Error(err)
			}
		} else if err := app.Emit("last"); err != nil {
			t.Error(err)
		}
		begun := time.Now()
		_ = app.Close(ctx)                                        // of the mesh that is gone it says so
		if took := time.Since(begun); took > siotest.Patience/2 { // SRV-005
			t.Errorf("Close took %v, the mesh gone: %v", took, gone)
		}
		if err := <-ended; err != nil && !gone {
			t.Error(err)
		}
		if got := c.Next(); got != `["last"]` && !gone { // SRV-005
			t.Errorf("got %s, want what was done before Close", got)
		}
		cancel()
	}
}

func do(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	still := *c
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := still.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func get(t *testing.T, c *http.Client, url string) (status int, text string) {
	t.Helper()
	res := do(t, c, url)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
