package main

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/services/edge"
)

// TestEngineFlags: flags and variables of the engine's options reach the edge and the embedded mesh alike.
func TestEngineFlags(t *testing.T) {
	lb := engine.DefaultCookie()
	lb.Name = "lb"
	for _, tt := range []struct {
		args   string
		env    string
		change func(*edge.Config)
	}{
		{"", "", func(*edge.Config) {}},
		{"--allow-eio3", "SIOMESH_ALLOW_EIO3=true", func(c *edge.Config) { c.AllowEIO3 = true }},
		{"--no-add-trailing-slash", "SIOMESH_ADD_TRAILING_SLASH=false", func(c *edge.Config) { c.DisableTrailingSlash = true }},
		{"--cookie lb", "SIOMESH_COOKIE=lb", func(c *edge.Config) { c.Cookie = lb }},
		{"--no-http-compression", "SIOMESH_HTTP_COMPRESSION=false", func(c *edge.Config) { c.DisableHTTPCompression = true }},
		{"--http-compression-threshold 7", "SIOMESH_HTTP_COMPRESSION_THRESHOLD=7", func(c *edge.Config) { c.HTTPCompressionThreshold = 7 }},
		{"--http-compression-threshold 0", "SIOMESH_HTTP_COMPRESSION_THRESHOLD=0", func(c *edge.Config) { c.HTTPCompressionThreshold = 1 }},
		{"--per-message-deflate", "SIOMESH_PER_MESSAGE_DEFLATE=true", func(c *edge.Config) { c.PerMessageDeflate = true }},
		{"--per-message-deflate-threshold 7", "SIOMESH_PER_MESSAGE_DEFLATE_THRESHOLD=7", func(c *edge.Config) { c.PerMessageDeflateThreshold = 7 }},
		{"--per-message-deflate-threshold 0", "SIOMESH_PER_MESSAGE_DEFLATE_THRESHOLD=0", func(c *edge.Config) { c.PerMessageDeflateThreshold = 1 }},
		{"--no-serve-client", "SIOMESH_SERVE_CLIENT=false", func(c *edge.Config) { c.ClientDir = "" }},
		{"--events-per-second 2.5", "SIOMESH_EVENTS_PER_SECOND=2.5", func(c *edge.Config) { c.EventsPerSecond = 2.5 }},
		{"--event-burst 3", "SIOMESH_EVENT_BURST=3", func(c *edge.Config) { c.EventBurst = 3 }},
		{"--bytes-per-second 1e6", "SIOMESH_BYTES_PER_SECOND=1e6", func(c *edge.Config) { c.BytesPerSecond = 1e6 }},
		{"--byte-burst 2048", "SIOMESH_BYTE_BURST=2048", func(c *edge.Config) { c.ByteBurst = 2048 }},
		{"--body-timeout 7s", "SIOMESH_BODY_TIMEOUT=7s", func(c *edge.Config) { c.BodyTimeout = 7 * time.Second }},
		{"--auth-timeout 7s", "SIOMESH_AUTH_TIMEOUT=7s", func(c *edge.Config) { c.AuthTimeout = 7 * time.Second }},
		{"--max-handshakes 7", "SIOMESH_MAX_HANDSHAKES=7", func(c *edge.Config) { c.MaxHandshakes = 7 }},
		{"--max-attachments 7", "SIOMESH_MAX_ATTACHMENTS=7", func(c *edge.Config) { c.Parser.MaxAttachments = 7 }},
		{"--connects-per-second 7", "SIOMESH_CONNECTS_PER_SECOND=7", func(c *edge.Config) { c.ConnectsPerSecond = 7 }},
		{"--connects-per-second 0", "SIOMESH_CONNECTS_PER_SECOND=0", func(c *edge.Config) { c.ConnectsPerSecond = -1 }},
		{"--connect-burst 7", "SIOMESH_CONNECT_BURST=7", func(c *edge.Config) { c.ConnectBurst = 7 }},
		{"--max-unjoined 0", "SIOMESH_MAX_UNJOINED=0", func(c *edge.Config) { c.MaxUnjoined = -1 }},
		{"--upgrade-wait 1s", "SIOMESH_UPGRADE_WAIT=1s", func(c *edge.Config) { c.UpgradeWait = time.Second }},
		{"--upgrade-wait 0s", "SIOMESH_UPGRADE_WAIT=0s", func(c *edge.Config) { c.UpgradeWait = -1 }},
		{"--hand-over-wait 1m", "SIOMESH_HAND_OVER_WAIT=1m", func(c *edge.Config) { c.HandOverWait = time.Minute }},
		{"--client-dir dist", "SIOMESH_CLIENT_DIR=dist", func(c *edge.Config) { c.ClientDir = "dist" }},
	} {
		want := edge.Config{
			ClientDir: "node_modules/socket.io-client/dist", HTTPCompressionThreshold: 1024, PerMessageDeflateThreshold: 1024,
			MaxUnjoined: 10_000, UpgradeWait: 300 * time.Millisecond, HandOverWait: 30 * time.Second,
			ConnectsPerSecond: 10,
			BodyTimeout:       time.Minute, AuthTimeout: 2 * time.Second, MaxHandshakes: 1024, Parser: protocol.Limits{MaxAttachments: 10},
		}
		tt.change(&want)
		t.Run("flag "+tt.args, func(t *testing.T) { wantEngine(t, strings.Fields(tt.args), want) })
		t.Run("variable "+tt.env, func(t *testing.T) {
			if name, value, ok := strings.Cut(tt.env, "="); ok {
				t.Setenv(name, value)
			}
			wantEngine(t, nil, want)
		})
	}
}

// options are those of the engine that an edge and an embedded mesh both have.
type options struct {
	allowEIO3, noSlash      bool
	cookie                  *http.Cookie
	plainHTTP, deflate      bool
	threshold, deflateAbove int
	clientDir               string
	unjoined                int
	events, bytes           float64
	eventBurst, byteBurst   int
	upgradeWait             time.Duration
	handOverWait            time.Duration
	connects                float64
	connectBurst            int
	bodyTime, authTime      time.Duration
	handshakes, attachments int
}

// wantEngine parses the command lines of edge and up and compares what they make of them.
func wantEngine(t *testing.T, args []string, want edge.Config) {
	t.Helper()
	e, err := parse(t, "edge", args).Edge.config()
	if err != nil {
		t.Fatalf("edge: %v", err)
	}
	if got, want := edgeOptions(e), edgeOptions(want); !reflect.DeepEqual(got, want) {
		t.Errorf("edge: got %+v, want %+v", got, want)
	}
	m, err := parse(t, "up", args).Up.config()
	if err != nil {
		t.Fatalf("up: %v", err)
	}
	if got, want := meshOptions(m), edgeOptions(want); !reflect.DeepEqual(got, want) {
		t.Errorf("up: got %+v, want %+v", got, want)
	}
}

func parse(t *testing.T, command string, args []string) *cli {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.DefaultEnvars("SIOMESH"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{command}, args...)); err != nil {
		t.Fatalf("%s %v: %v", command, args, err)
	}
	return &c
}

func edgeOptions(c edge.Config) options {
	return options{
		allowEIO3: c.AllowEIO3, noSlash: c.DisableTrailingSlash, cookie: c.Cookie,
		plainHTTP: c.DisableHTTPCompression, threshold: c.HTTPCompressionThreshold,
		deflate: c.PerMessageDeflate, deflateAbove: c.PerMessageDeflateThreshold, clientDir: c.ClientDir,
		unjoined: c.MaxUnjoined, events: c.EventsPerSecond, eventBurst: c.EventBurst, bytes: c.BytesPerSecond, byteBurst: c.ByteBurst,
		upgradeWait: c.UpgradeWait, handOverWait: c.HandOverWait, connects: c.ConnectsPerSecond, connectBurst: c.ConnectBurst,
		bodyTime: c.BodyTimeout, authTime: c.AuthTimeout, handshakes: c.MaxHandshakes, attachments: c.Parser.MaxAttachments,
	}
}

func meshOptions(c siomesh.Config) options {
	return options{
		allowEIO3: c.AllowEIO3, noSlash: c.DisableTrailingSlash, cookie: c.Cookie,
		plainHTTP: c.DisableHTTPCompression, threshold: c.HTTPCompressionThreshold,
		deflate: c.PerMessageDeflate, deflateAbove: c.PerMessageDeflateThreshold, clientDir: c.ClientDir,
		unjoined: c.MaxUnjoined, events: c.EventsPerSecond, eventBurst: c.EventBurst, bytes: c.BytesPerSecond, byteBurst: c.ByteBurst,
		upgradeWait: c.UpgradeWait, handOverWait: c.HandOverWait, connects: c.ConnectsPerSecond, connectBurst: c.ConnectBurst,
		bodyTime: c.BodyTimeout, authTime: c.AuthTimeout, handshakes: c.MaxHandshakes, attachments: c.MaxAttachments,
	}
}

// TestDemoBesideEndpoint: the demo's page gets what the engine does not serve.
func TestDemoBesideEndpoint(t *testing.T) {
	for args, want := range map[string]string{
		"":                                     "/socket.io/",
		"--path /x/":                           "/x/",
		"--path /":                             "/",
		"--no-add-trailing-slash":              "/socket.io",
		"--path / --no-add-trailing-slash":     "/",
		"--path /x/y/ --no-add-trailing-slash": "/x/y",
	} {
		if got := parse(t, "up", strings.Fields(args)).Up.endpoint(); got != want {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
}
