package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/oklog/run"
	"golang.org/x/term"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/services/auth"
	"github.com/siomesh/siomesh/services/edge"
)

// processFlags are about the process, whatever it runs.
type processFlags struct {
	LogLevel  slog.Level `default:"info" help:"debug, info, warn or error."`
	LogFormat string     `enum:"auto,text,json" default:"auto" help:"auto, text or json; auto is text on a terminal and json elsewhere."`
	Check     bool       `help:"Check the settings, say what would run, and exit."`
}

func (f *processFlags) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.LogLevel}
	file, isFile := w.(*os.File)
	if f.LogFormat == "text" || f.LogFormat == "auto" && isFile && term.IsTerminal(int(file.Fd())) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// do checks a command's settings and runs it until SIGINT or SIGTERM.
func (f *processFlags) do(c command, out output) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	if f.Check {
		_, err := fmt.Fprintln(out.stdout, plan)
		return err //nolint:wrapcheck // nothing to add
	}
	log := f.logger(out.stderr)
	log.Info("starting", slog.String("plan", plan))
	var g run.Group
	{
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error { return c.run(ctx, log) }, func(error) { cancel() })
	}
	g.Add(run.SignalHandler(context.Background(), os.Interrupt, syscall.SIGTERM))
	err = g.Run()
	if errors.Is(err, run.ErrSignal) {
		log.Info("stopped", slog.String("cause", err.Error()))
		return nil
	}
	return err //nolint:wrapcheck // the service's own
}

// natsFlags say how to reach the mesh.
type natsFlags struct {
	NATS           string        `name:"nats" default:"nats://127.0.0.1:4222" placeholder:"URL" help:"NATS servers, comma-separated."`
	NATSTimeout    time.Duration `name:"nats-timeout" default:"30s" help:"Exit if no server is reached within this time at start."`
	NATSToken      string        `name:"nats-token" placeholder:"TOKEN" help:"Token to authenticate with."`
	NATSCreds      string        `name:"nats-creds" placeholder:"FILE" help:"Credentials file."`
	NATSCA         string        `name:"nats-ca" placeholder:"FILE" help:"Authorities to trust, PEM; turns TLS on."`
	NATSCert       string        `name:"nats-cert" placeholder:"FILE" help:"Client certificate, PEM."`
	NATSKey        string        `name:"nats-key" placeholder:"FILE" help:"Key of the client certificate, PEM."`
	Prefix         string        `default:"sio" placeholder:"NAME" help:"First token of all NATS subjects."`
	InternalListen string        `placeholder:"ADDR" default:"${internal}" help:"Address of /livez, /readyz, /metrics and /debug/pprof."`
}

func (f *natsFlags) plan(what string) (string, error) {
	if _, err := mesh.NewSubjects(f.Prefix); err != nil {
		return "", fmt.Errorf("--prefix %q: %w", f.Prefix, err)
	}
	if err := checkAddress("--internal-listen", f.InternalListen); err != nil {
		return "", err
	}
	shown := make([]string, 0, 1)
	for _, server := range strings.Split(f.NATS, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" {
			return "", fmt.Errorf("--nats: want nats://host:port, comma-separated") //nolint:err113 // may hold a password: not shown
		}
		shown = append(shown, u.Redacted())
	}
	return fmt.Sprintf("%s on %s, internal port %s", what, strings.Join(shown, ","), f.InternalListen), nil
}

// connect dials the mesh.
func (f *natsFlags) connect(ctx context.Context, name string, log *slog.Logger) (*bus.NATS, mesh.Subjects, error) {
	names, err := mesh.NewSubjects(f.Prefix)
	if err != nil {
		return nil, mesh.Subjects{}, fmt.Errorf("--prefix: %w", err)
	}
	b, err := bus.Dial(ctx, f.NATS, bus.NATSOptions{
		Name: name, ConnectTimeout: f.NATSTimeout, Token: f.NATSToken, CredsFile: f.NATSCreds,
		CAFile: f.NATSCA, CertFile: f.NATSCert, KeyFile: f.NATSKey, Log: log,
	})
	if err != nil {
		return nil, mesh.Subjects{}, err //nolint:wrapcheck // says it all
	}
	return b, names, nil
}

// engineFlags are the options of the Engine.IO server, by the reference server's names in kebab-case.
type engineFlags struct {
	Path              string        `default:"/socket.io" help:"Path of the endpoint."`
	Transports        []string      `enum:"polling,websocket" default:"polling,websocket" placeholder:"NAME" help:"Transports to offer: polling, websocket or both."`
	AllowUpgrades     bool          `default:"true" negatable:"" help:"Offer the upgrade from polling to websocket."`
	PingInterval      time.Duration `default:"25s" help:"From a pong to the next ping."`
	PingTimeout       time.Duration `default:"20s" help:"A client without a pong for this long is gone."`
	UpgradeTimeout    time.Duration `default:"10s" help:"An upgrade not finished for this long is given up."`
	UpgradeWait       time.Duration `default:"300ms" help:"With several edges a CONNECT on polling waits this long for the upgrade, so that the session can move to the edge that gets it; 0 is not at all."`
	ConnectTimeout    time.Duration `default:"45s" help:"A connection without a namespace for this long is closed."`
	AppWait           time.Duration `default:"5s" help:"A client's CONNECT is held for this long while a service it needs is missing."`
	HandOverWait      time.Duration `default:"30s" help:"A client whose app instance has ended waits for this long for another one, if there is none."`
	MaxHTTPBufferSize int64         `name:"max-http-buffer-size" default:"1000000" placeholder:"BYTES" help:"Largest message of a client in bytes."`
	TrustedProxies    []string      `placeholder:"CIDR" help:"Proxies whose X-Forwarded-For and -Proto are believed."`
	ServeClient       bool          `default:"true" negatable:"" help:"Serve the browser client beside the endpoint."`
	ClientDir         string        `default:"node_modules/socket.io-client/dist" placeholder:"DIR" help:"Browser client to serve beside the endpoint: the dist folder of the npm package socket.io-client."`

	AllowEIO3                  bool   `name:"allow-eio3" env:"SIOMESH_ALLOW_EIO3" help:"Take clients of Socket.IO 2.x too. Their socket ids are made of their session ids: show them to nobody."`
	Parser                     string `enum:"json,msgpack" default:"json" help:"How all clients write packets: json, or msgpack for those with the npm package socket.io-msgpack-parser. One for all edges behind one address."`
	AddTrailingSlash           bool   `default:"true" negatable:"" help:"Serve the path with a slash behind it; otherwise whatever begins with the path."`
	HTTPCompression            bool   `name:"http-compression" default:"true" negatable:"" help:"Compress what is sent to polling clients."`
	HTTPCompressionThreshold   int    `name:"http-compression-threshold" default:"1024" placeholder:"BYTES" help:"From this size on; 0 is always."`
	PerMessageDeflate          bool   `help:"Compress WebSocket messages for clients that offer it."`
	PerMessageDeflateThreshold int    `default:"1024" placeholder:"BYTES" help:"From this size on; 0 is always."`
	InitialPacket              string `placeholder:"TEXT" help:"Engine.IO message to send to each client first; none if empty."`
	AuthHandshake              bool   `help:"Ask the auth service about each connection before it opens, and refuse it without a permission."`

	corsFlags   `embed:""`
	cookieFlags `embed:""`
	limitFlags  `embed:""`

	connectionFlags `embed:""`
}

// String says what is worth knowing at a glance.
func (f *engineFlags) String() string {
	origins := "no CORS"
	if len(f.CORSOrigin) > 0 {
		origins = "CORS " + strings.Join(f.CORSOrigin, " ")
	}
	older := ""
	if f.AllowEIO3 {
		older = ", Socket.IO 2.x too"
	}
	if f.AuthHandshake {
		older += ", auth asked about handshakes"
	}
	return fmt.Sprintf("%s, ping %s + %s, messages up to %d bytes, %s%s",
		strings.Join(f.Transports, " and "), f.PingInterval, f.PingTimeout, f.MaxHTTPBufferSize, origins, older)
}

func (f *engineFlags) config() (edge.Config, error) {
	if f.Transports != nil && len(f.Transports) == 0 { // nil is the default
		return edge.Config{}, errors.New("--transports: want polling, websocket or both")
	}
	if err := checkOrigins(f.CORSOrigin); err != nil {
		return edge.Config{}, err
	}
	proxies, err := edge.ParseProxies(f.TrustedProxies)
	if err != nil {
		return edge.Config{}, fmt.Errorf("--trusted-proxies: %w", err)
	}
	cookie, err := f.cookie()
	if err != nil {
		return edge.Config{}, err
	}
	if f.HTTPCompressionThreshold < 0 || f.PerMessageDeflateThreshold < 0 {
		return edge.Config{}, errors.New("--http-compression-threshold, --per-message-deflate-threshold: want 0 or more bytes")
	}
	cfg := edge.Config{
		Path: f.Path, Transports: f.Transports, DisableUpgrades: !f.AllowUpgrades,
		PingInterval: f.PingInterval, PingTimeout: f.PingTimeout, UpgradeTimeout: f.UpgradeTimeout, UpgradeWait: orNone(f.UpgradeWait),
		ConnectTimeout: f.ConnectTimeout, AppWait: f.AppWait, HandOverWait: f.HandOverWait, MaxHTTPBufferSize: f.MaxHTTPBufferSize,
		CORS: f.cors(), TrustedProxies: proxies, ClientDir: f.clientDir(),
		AllowEIO3: f.AllowEIO3, PacketParser: f.Parser, DisableTrailingSlash: !f.AddTrailingSlash, Cookie: cookie,
		InitialPacket: f.initialPacket(), AuthHandshake: f.AuthHandshake,
		DisableHTTPCompression: !f.HTTPCompression, HTTPCompressionThreshold: max(f.HTTPCompressionThreshold, 1),
		PerMessageDeflate: f.PerMessageDeflate, PerMessageDeflateThreshold: max(f.PerMessageDeflateThreshold, 1),
	}
	if err := errors.Join(f.limit(&cfg), f.admit(&cfg)); err != nil {
		return edge.Config{}, err
	}
	return cfg, cfg.Check() //nolint:wrapcheck // says what
}

// initialPacket is nil for none.
func (f *engineFlags) initialPacket() *engine.Message {
	if f.InitialPacket == "" {
		return nil
	}
	return engine.NewText([]byte(f.InitialPacket))
}

// clientDir is "" if the client's files are not served.
func (f *engineFlags) clientDir() string {
	if !f.ServeClient {
		return ""
	}
	return f.ClientDir
}

// policyFlags configure the stock auth service.
type policyFlags struct {
	Policy       []string `sep:"none" default:"*=allow" placeholder:"NS=POLICY" help:"Who may connect where: /admin=jwt, /team-*=tokens, *=allow; repeat it."`
	Tokens       string   `placeholder:"JSON" help:"Token list of policy tokens."`
	TokensFile   string   `placeholder:"FILE" help:"File with the token list."`
	JWTAlgorithm string   `name:"jwt-algorithm" placeholder:"ALG" help:"HS256, RS256 or EdDSA: the only algorithm policy jwt accepts."`
	JWTKey       string   `name:"jwt-key" placeholder:"KEY" help:"Key to verify with: secret, or public key in PEM."`
	JWTKeyFile   string   `name:"jwt-key-file" placeholder:"FILE" help:"File with that key."`
	JWTIssuer    string   `name:"jwt-issuer" placeholder:"ISS" help:"Required iss."`
	JWTAudience  string   `name:"jwt-audience" placeholder:"AUD" help:"Required aud."`

	HandshakePolicy string `enum:"allow,tokens,jwt" default:"allow" help:"Who may connect at all, where edges have --auth-handshake: allow, or tokens or jwt for the header Authorization: Bearer."`
}

func (f *policyFlags) keys() auth.Keys {
	return auth.Keys{
		Tokens: f.Tokens, TokensFile: f.TokensFile, JWTAlgorithm: f.JWTAlgorithm, JWTKey: f.JWTKey, JWTKeyFile: f.JWTKeyFile,
		JWTIssuer: f.JWTIssuer, JWTAudience: f.JWTAudience,
	}
}

func checkAddress(flag, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%s %q: want host:port", flag, address) //nolint:err113 // for the reader of the command line
	}
	return nil
}

// orNone is a time of which 0 means none; in configurations that is below 0.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
