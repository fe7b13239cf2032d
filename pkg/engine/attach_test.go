package engine

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// at returns options for a server where mux serves everything, the engine included.
func at(handler func(engine http.Handler) http.Handler) options {
	return options{server: func(s *http.Server) { s.Handler = handler(s.Handler) }}
}

// fetch makes a GET anywhere on the server.
func (e *env) fetch(target string) response {
	e.tb.Helper()
	r, err := http.NewRequestWithContext(e.tb.Context(), http.MethodGet, e.base+target, http.NoBody)
	if err != nil {
		e.tb.Fatal(err)
	}
	res, err := e.http.Do(r)
	if err != nil {
		return response{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return response{status: res.StatusCode, body: string(b), header: res.Header, err: err}
}

// EIO-037: an HTTP server that is there for the engine alone.
func TestStandalone(t *testing.T) {
	e := newServer(t, Config{}, options{})
	alone := newEnv(t, Config{}, at(func(http.Handler) http.Handler { return e.srv.Standalone() }))
	t.Cleanup(e.close)
	for _, target := range []string{"/", "/engine.io", "/other/?EIO=4&transport=polling"} {
		if res := alone.fetch(target); res.status != http.StatusNotImplemented { // EIO-037
			t.Errorf("%s: %d, want 501", target, res.status)
		}
	}
	parseOpen(t, alone.fetch("/engine.io/?EIO=4&transport=polling").body)
	up, _ := alone.shakeAt("/other/")
	if up.status != http.StatusNotImplemented { // EIO-037
		t.Errorf("upgrade elsewhere: %d, want 501", up.status)
	}
	up, w := alone.shake("")
	wantShaken(t, up, w)
}

// What else is on the server is served as without the engine.
func TestBesideOtherHandlers(t *testing.T) {
	held := make(chan net.Conn, 1)
	hold, release := make(chan struct{}), make(chan struct{})
	e := newEnv(t, Config{}, at(func(engine http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/engine.io/", engine)
		mux.HandleFunc("/app", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app") })
		mux.HandleFunc("/mine", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Mine\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			held <- conn
		})
		mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
			close(hold)
			<-release
			_, _ = io.WriteString(w, "at last")
		})
		return mux
	}))
	if res := e.fetch("/app"); res.status != 200 || res.body != "app" { // EIO-038
		t.Errorf("/app: %d %q", res.status, res.body)
	}
	if res := e.fetch("/none"); res.status != http.StatusNotFound { // EIO-038
		t.Errorf("/none: %d, want 404", res.status)
	}
	e.openPolling()

	// EIO-039: nothing waits for a time-out, the upgrade that nobody wants is answered at once.
	up, _ := e.shakeAt("/none")
	if up.status != http.StatusNotFound {
		t.Errorf("upgrade elsewhere: %d, want 404", up.status)
	}

	// EIO-040: nor does the engine end one that another handler takes its time for.
	slow := make(chan response, 1)
	go func() { // waited for below
		res, _ := e.shakeAt("/slow")
		slow <- res
	}()
	<-hold
	e.openWS()
	close(release)
	if res := <-slow; res.status != 200 {
		t.Errorf("slow upgrade: %d, want 200", res.status)
	}

	// EIO-041: nor one that another handler has made.
	up, c := e.shakeAt("/mine")
	if up.status != 101 {
		t.Fatalf("upgrade by another: %d, want 101", up.status)
	}
	mine := <-held
	defer mine.Close()
	e.close() // the engine goes, the connection stays
	if _, err := mine.Write(ws.MustCompileFrame(ws.NewTextFrame([]byte("still here")))); err != nil {
		t.Error(err)
	}
	if got := c.text(); got != "still here" {
		t.Errorf("got %q", got)
	}
}

// EIO-042: two engines on one HTTP server.
func TestTwoEngines(t *testing.T) {
	other := newServer(t, Config{Path: "/foo"}, options{peer: func(p *peer) { p.echo = true }})
	t.Cleanup(other.close)
	e := newEnv(t, Config{}, at(func(engine http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/engine.io/", engine)
		mux.Handle("/foo/", other.srv)
		return mux
	}))
	c := e.openPolling()
	up, w := e.shakeAt("/foo/?EIO=4&transport=websocket")
	wantShaken(t, up, w)
	if a, b := e.srv.ClientsCount(), other.srv.ClientsCount(); a != 1 || b != 1 { // EIO-042, EIO-036
		t.Errorf("%d and %d sessions, want 1 each", a, b)
	}
	if res := e.fetch("/foo/?EIO=4&transport=polling&sid=" + c.sid); res.status != 400 { // EIO-042
		t.Errorf("a session of the other engine: %d, want 400", res.status)
	}
	e.close()
	w.send("4still")
	if got := w.text(); got != "4still" { // EIO-042
		t.Errorf("got %q", got)
	}
}

// EIO-032: without the slash.
func TestNoTrailingSlash(t *testing.T) {
	for path, want := range map[string]map[string]int{
		"/engine.io":  {"/engine.io": 200, "/engine.io/": 200, "/engine.io/more": 200, "/engine.iox": 200, "/engine": 404, "/": 404}, // EIO-032, EIO-033
		"/engine.io/": {"/engine.io": 200},                                                                                           // EIO-032
		"/":           {"/": 200, "/any/where": 200},
	} {
		e := newEnv(t, Config{Path: path, DisableTrailingSlash: true}, options{})
		for target, status := range want {
			if res := e.fetch(target + "?EIO=4&transport=polling"); res.status != status {
				t.Errorf("path %q, %s: %d, want %d", path, target, res.status, status)
			}
		}
	}
	e := newEnv(t, Config{DisableTrailingSlash: true}, options{})
	up, w := e.shakeAt("/engine.io?EIO=4&transport=websocket")
	wantShaken(t, up, w) // EIO-032
}

// WS-014: the HTTP server is closed and another listens on the same address.
func TestListenAgain(t *testing.T) {
	e := newServer(t, Config{}, options{peer: func(p *peer) { p.echo = true }})
	t.Cleanup(e.close)
	e.dial = (&net.Dialer{}).DialContext
	address := "127.0.0.1:0"
	for range 3 {
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		address = ln.Addr().String()
		e.base = "http://" + address
		hs := &http.Server{Handler: e.srv, ReadHeaderTimeout: deadline}
		served := make(chan struct{})
		go func() { // ended by hs.Close; waited for below
			defer close(served)
			_ = hs.Serve(ln)
		}()
		c, p := e.openWS()
		c.send("4hello")
		if got := c.text(); got != "4hello" { // WS-014
			t.Errorf("got %q", got)
		}
		if err := hs.Close(); err != nil {
			t.Fatal(err)
		}
		<-served
		c.send("4alive") // the WebSocket has left the HTTP server
		if got := c.text(); got != "4alive" {
			t.Errorf("got %q", got)
		}
		_ = c.conn.Close()
		p.waitClosed(TransportClose)
	}
}

// certificate returns a certificate for loopback, signed by itself.
func certificate(tb testing.TB, name string) (tls.Certificate, *x509.CertPool) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// WS-015: TLS that wants a certificate of the client, on both transports.
func TestClientCertificates(t *testing.T) {
	cert, pool := certificate(t, "client")
	names := make(chan string, 2)
	e := newEnv(t, Config{}, options{
		tls: true, peer: func(p *peer) { p.echo = true },
		accept: func(_ *peer, r *http.Request) error {
			names <- r.TLS.PeerCertificates[0].Subject.CommonName
			return nil
		},
		server: func(s *http.Server) {
			s.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			s.TLSConfig = &tls.Config{ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
		},
	})
	config := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, Certificates: certs} //nolint:gosec // the test's own server
	}
	dial := func(c *tls.Config) (net.Conn, *bufio.Reader, error) {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		d := ws.Dialer{NetDial: e.dial, TLSConfig: c}
		conn, r, _, err := d.Dial(ctx, "wss"+strings.TrimPrefix(e.base, "https")+"/engine.io/?EIO=4&transport=websocket")
		return conn, r, err
	}
	tr := &http.Transport{TLSClientConfig: config(cert)}
	defer tr.CloseIdleConnections()
	e.http = &http.Client{Transport: tr}
	c := e.openPolling()
	c.wantPost("4hello")
	c.wantGet(200, "4hello") // WS-015
	conn, r, err := dial(config(cert))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := &wsClient{tb: t, conn: conn, r: conn}
	if r != nil {
		w.r = r
	}
	parseOpen(t, w.text())
	w.send("4hello")
	if got := w.text(); got != "4hello" { // WS-015
		t.Errorf("got %q", got)
	}
	for range 2 {
		if got := <-names; got != "client" {
			t.Errorf("certificate of %q", got)
		}
	}

	bare := &http.Transport{TLSClientConfig: config()}
	defer bare.CloseIdleConnections()
	e.http = &http.Client{Transport: bare}
	if res := e.do(t.Context(), http.MethodGet, "transport=polling", ""); res.err == nil { // WS-015
		t.Errorf("polling without a certificate got %d", res.status)
	}
	if conn, _, err := dial(config()); err == nil { // WS-015
		_ = conn.Close()
		t.Error("WebSocket without a certificate was accepted")
	}
}
