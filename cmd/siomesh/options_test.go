package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/services/edge"
)

// setting is one option, a value for it, and what that does to a server that runs.
type setting struct {
	name, value string
	with        string // other flags that it takes to see it
	seen        func(*testing.T, *site)
}

// TestSettingsReachTheEngine: each option by flag, variable and file for an edge, and by flag for everything in one process.
func TestSettingsReachTheEngine(t *testing.T) {
	dist := t.TempDir()
	if err := os.WriteFile(filepath.Join(dist, "socket.io.js"), []byte("the client"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := append(append(endpointSettings(dist), sessionSettings()...), append(cookieSettings(), corsSettings()...)...)
	all = append(all, limitSettings()...)
	all = append(all, connectionSettings()...)
	covered := map[string]bool{ // of the mesh, not of the engine; TestEngineFlags has the rates
		"app-wait": true, "trusted-proxies": true, "upgrade-wait": true, "hand-over-wait": true, // which e2e shows
		"auth-timeout": true, "max-handshakes": true, // which take an auth service that is slow
		"events-per-second": true, "event-burst": true, "bytes-per-second": true, "byte-burst": true,
		"connects-per-second": true, "connect-burst": true,
	}
	for _, s := range all {
		covered[s.name] = true
		with := append(strings.Fields(s.with), "--log-level=error")
		t.Run(s.name+" flag", func(t *testing.T) {
			t.Parallel()
			s.seen(t, startEdge(t, append(with, asFlag(s)), ""))
		})
		t.Run(s.name+" up", func(t *testing.T) {
			t.Parallel()
			s.seen(t, startUp(t, append(with, asFlag(s), "--handshake-policy=tokens", `--tokens=[{"token":"t"}]`)))
		})
		t.Run(s.name+" file", func(t *testing.T) {
			t.Parallel()
			s.seen(t, startEdge(t, with, s.name+": "+s.value))
		})
		t.Run(s.name+" variable", func(t *testing.T) {
			t.Setenv("SIOMESH_"+strings.ToUpper(strings.ReplaceAll(s.name, "-", "_")), s.value)
			s.seen(t, startEdge(t, with, ""))
		})
	}
	var only struct{ engineFlags }
	parser, err := kong.New(&only)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range flagsOf(parser.Model.Node) {
		if f.Name != "help" && !covered[f.Name] {
			t.Errorf("nothing shows that --%s has an effect", f.Name)
		}
	}
}

func asFlag(s setting) string {
	if s.value == "false" {
		return "--no-" + s.name
	}
	return "--" + s.name + "=" + s.value
}

func endpointSettings(dist string) []setting {
	return []setting{
		{"path", "/x", "", func(t *testing.T, s *site) {
			s.want(t, "/x/"+handshake, 200, "")
			s.want(t, "/socket.io/"+handshake, 404, "")
		}},
		{"add-trailing-slash", "false", "", func(t *testing.T, s *site) { s.want(t, "/socket.io"+handshake, 200, "") }},
		{"transports", "polling", "", func(t *testing.T, s *site) {
			s.want(t, "/socket.io/"+handshake, 200, `"upgrades":[]`)
			s.want(t, "/socket.io/?EIO=4&transport=websocket", 400, `"code":0`)
		}},
		{"allow-upgrades", "false", "", func(t *testing.T, s *site) { s.want(t, "/socket.io/"+handshake, 200, `"upgrades":[]`) }},
		{"allow-eio3", "true", "", func(t *testing.T, s *site) { s.want(t, "/socket.io/?EIO=3&transport=polling", 200, `"sid"`) }},
		{"parser", "msgpack", "", func(t *testing.T, s *site) {
			const connect = "\x82\xa4type\x00\xa3nsp\xda\x04\x4c/" // a name of 1100 bytes is refused without asking anybody
			sid := s.sid(t)
			s.post(t, sid, "b"+base64.StdEncoding.EncodeToString([]byte(connect+strings.Repeat("n", 1099))))
			s.want(t, s.path+"&sid="+sid, 200, "b"+base64.StdEncoding.EncodeToString([]byte("\x83\xa4type\x04\xa3n")))
		}},
		{"serve-client", "false", "--client-dir=" + dist, func(t *testing.T, s *site) { s.want(t, "/socket.io/socket.io.js", 400, "") }},
		{"client-dir", dist, "", func(t *testing.T, s *site) { s.want(t, "/socket.io/socket.io.js", 200, "the client") }},
		{"http-compression", "false", "--http-compression-threshold=1", func(t *testing.T, s *site) {
			s.wantHeader(t, http.MethodGet, "Content-Encoding", "", "Accept-Encoding", "gzip")
		}},
		{"http-compression-threshold", "1", "", func(t *testing.T, s *site) {
			s.wantHeader(t, http.MethodGet, "Content-Encoding", "gzip", "Accept-Encoding", "gzip")
		}},
	}
}

func sessionSettings() []setting {
	json := func(want string) func(*testing.T, *site) {
		return func(t *testing.T, s *site) { s.want(t, "/socket.io/"+handshake, 200, want) }
	}
	return []setting{
		{"ping-interval", "7s", "", json(`"pingInterval":7000`)},
		{"ping-timeout", "9s", "", json(`"pingTimeout":9000`)},
		{"max-http-buffer-size", "777", "", json(`"maxPayload":777`)},
		{"initial-packet", "hello", "", json("\x1e4hello")},
		{"upgrade-timeout", "4s", "", func(t *testing.T, s *site) {
			c := s.dial(t, "&sid="+s.sid(t))
			c.write(t, "2probe")
			if got := c.read(t); got != "3probe" {
				t.Errorf("got %q, want 3probe", got)
			}
			c.wantEnd(t)
		}},
		{"connect-timeout", "50ms", "--app-wait=10ms", func(t *testing.T, s *site) { s.dial(t, "").wantEnd(t) }},
		{"per-message-deflate", "true", "", func(t *testing.T, s *site) {
			if c := s.dial(t, ""); c.extensions != 1 {
				t.Error("permessage-deflate is not agreed on")
			}
		}},
		{"per-message-deflate-threshold", "1", "--per-message-deflate --initial-packet=" + strings.Repeat("a", 100), func(t *testing.T, s *site) {
			c := s.dial(t, "")
			c.read(t) // an open packet has a random sid, which is shorter as it is now and then
			if c.read(t); !c.compressed {
				t.Error("the initial packet is not compressed")
			}
		}},
		{"auth-handshake", "true", "", func(t *testing.T, s *site) { s.want(t, s.path, 403, `"code":4`) }},
	}
}

func cookieSettings() []setting {
	cookie := func(name, value, want string) setting {
		return setting{name, value, "--cookie=lb", func(t *testing.T, s *site) {
			t.Helper()
			if got := s.header(t, http.MethodGet).Get("Set-Cookie") + ";"; !strings.Contains(got, want) {
				t.Errorf("got %q, want it to have %q", got, want)
			}
		}}
	}
	open := cookie("cookie-http-only", "false", "")
	open.seen = func(t *testing.T, s *site) {
		if got := s.header(t, http.MethodGet).Get("Set-Cookie"); got == "" || strings.Contains(got, "HttpOnly") {
			t.Errorf("got %q, want it without HttpOnly", got)
		}
	}
	plain := cookie("cookie", "other", "other=")
	plain.with = ""
	return []setting{
		plain, open,
		cookie("cookie-path", "/p", "; Path=/p;"),
		cookie("cookie-domain", "x.example", "; Domain=x.example;"),
		cookie("cookie-secure", "true", "; Secure;"),
		cookie("cookie-same-site", "strict", "; SameSite=Strict;"),
		cookie("cookie-max-age", "1m", "; Max-Age=60;"),
	}
}

func corsSettings() []setting {
	preflight := []string{"Origin", "http://x", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-in"}
	asked := func(name, value, header, want string) setting {
		return setting{name, value, "--cors-origin=http://x", func(t *testing.T, s *site) {
			t.Helper()
			s.wantHeader(t, http.MethodOptions, header, want, preflight...)
		}}
	}
	origin := asked("cors-origin", "http://x", "Access-Control-Allow-Origin", "http://x")
	origin.with = ""
	return []setting{
		origin,
		asked("cors-methods", "GET", "Access-Control-Allow-Methods", ""),
		asked("cors-allowed-headers", "X-Other", "Access-Control-Allow-Headers", ""),
		asked("cors-credentials", "false", "Access-Control-Allow-Credentials", ""),
		asked("cors-max-age", "1m", "Access-Control-Max-Age", "60"),
		asked("cors-options-success-status", "200", ":status", "200"),
		{"cors-exposed-headers", "X-Out", "--cors-origin=http://x", func(t *testing.T, s *site) {
			s.wantHeader(t, http.MethodGet, "Access-Control-Expose-Headers", "X-Out", "Origin", "http://x")
		}},
	}
}

func limitSettings() []setting {
	long := strings.Repeat("n", 1100) // a namespace that is refused without asking anybody
	return []setting{
		{"max-unjoined", "1", "", func(t *testing.T, s *site) {
			s.want(t, s.path, 200, "")
			s.want(t, s.path, 503, "")
		}},
		{"body-timeout", "50ms", "", func(t *testing.T, s *site) {
			sid := s.sid(t)
			s.wantCut(t, "POST "+s.path+"&sid="+sid+" HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n4half")
			s.want(t, s.path+"&sid="+sid, 400, `"code":1`)
		}},
		{"max-attachments", "1", "", func(t *testing.T, s *site) {
			c := s.dial(t, "")
			c.read(t)
			c.write(t, `452-["two",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`) // else the two are waited for
			c.wantEnd(t)
		}},
		{"max-namespaces", "1", "", func(t *testing.T, s *site) {
			c := s.dial(t, "")
			c.read(t)
			c.write(t, "40/a,")
			c.write(t, "40/b,")
			c.wantEnd(t)
		}},
		{"max-outbound-bytes", "1", "", func(t *testing.T, s *site) {
			sid := s.sid(t)
			s.post(t, sid, "40/1"+long+",\x1e40/2"+long+",")
			eventually(t, func() bool { // two packets wait, of which one may be too large
				status, _, _ := s.ask(t, http.MethodPut, s.path+"&sid="+sid) // 500 as long as there is a session
				return status == http.StatusBadRequest
			})
		}},
	}
}

func connectionSettings() []setting {
	third := func(status int, message string) func(*testing.T, *site) {
		return func(t *testing.T, s *site) {
			for range 2 {
				s.want(t, s.path, 200, "")
			}
			s.want(t, s.path, status, `"message":"`+message+`"`)
		}
	}
	return []setting{
		{"max-connections", "2", "", third(503, "Too many connections")},
		{"max-connections-per-ip", "2", "", third(429, "Too many connections from this address")},
		{"accept-rate", "0.001", "--accept-burst=2", third(503, "Connecting too fast")},
		{"accept-burst", "2", "--accept-rate=0.001", third(503, "Connecting too fast")},
	}
}

// site is a server with some settings.
type site struct{ url, path string }

const handshake = "?EIO=4&transport=polling"

// parsed returns the command line of a command, with a file of settings unless that is empty.
func parsed(t *testing.T, command string, args []string, file string) *cli {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.DefaultEnvars("SIOMESH"), kong.Configuration(yamlSettings))
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{command}, args...)
	if file != "" {
		name := filepath.Join(t.TempDir(), "settings.yaml")
		if err := os.WriteFile(name, []byte(file+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", name)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return &c
}

// startEdge runs an edge with the settings, without a mesh.
func startEdge(t *testing.T, args []string, file string) *site {
	t.Helper()
	cfg, err := parsed(t, "edge", args, file).Edge.config()
	if err != nil {
		t.Fatal(err)
	}
	b := bus.NewMemory()
	t.Cleanup(b.Close)
	service, err := edge.New(b, mesh.Subjects{}, slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return startSite(t, service, service.Run)
}

// startUp runs what up does.
func startUp(t *testing.T, args []string) *site {
	t.Helper()
	return startUpWith(t, parsed(t, "up", append(args, "--nats-listen=none"), ""))
}

func startUpWith(t *testing.T, c *cli) *site {
	t.Helper()
	cfg, err := c.Up.config()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	m, err := siomesh.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return startSite(t, m, m.Run)
}

func startSite(t *testing.T, h http.Handler, run func(context.Context) error) *site {
	t.Helper()
	server := httptest.NewServer(h)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }() // received in the cleanup
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		server.Close()
	})
	s := &site{url: server.URL, path: "/socket.io/" + handshake}
	eventually(t, func() bool {
		status, _, _ := s.ask(t, http.MethodGet, "/nowhere")
		return status != http.StatusServiceUnavailable
	})
	return s
}

func (s *site) ask(t *testing.T, method, path string, header ...string) (int, string, http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "identity")
	r.Close = true
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Header.Set(":status", fmt.Sprint(res.StatusCode))
	return res.StatusCode, string(body), res.Header
}

func (s *site) want(t *testing.T, path string, status int, part string) {
	t.Helper()
	got, text, _ := s.ask(t, http.MethodGet, path)
	if got != status || !strings.Contains(text, part) {
		t.Errorf("%s: got %d %q, want %d with %q", path, got, text, status, part)
	}
}

func (s *site) header(t *testing.T, method string, header ...string) http.Header {
	t.Helper()
	_, _, h := s.ask(t, method, s.path, header...)
	return h
}

func (s *site) wantHeader(t *testing.T, method, name, want string, header ...string) {
	t.Helper()
	got := s.header(t, method, header...)
	if name != ":status" {
		name = http.CanonicalHeaderKey(name)
	}
	if len(got[name]) > 1 || strings.Join(got[name], "") != want {
		t.Errorf("%s: got %q, want %q", name, got[name], want)
	}
}

// post sends a payload of packets.
func (s *site) post(t *testing.T, sid, payload string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+s.path+"&sid="+sid, strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}

// wantCut sends a request as it is and wants the connection to end without an answer.
func (s *site) wantCut(t *testing.T, request string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); len(got) != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v, want the end of the connection", got, err)
	}
}

// sid opens a session.
func (s *site) sid(t *testing.T) string {
	t.Helper()
	_, text, _ := s.ask(t, http.MethodGet, s.path)
	sid, _, _ := strings.Cut(strings.TrimPrefix(text, `0{"sid":"`), `"`)
	return sid
}
