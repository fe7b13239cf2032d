package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/examples/chat/demo"
	"github.com/siomesh/siomesh/internal/telemetry"
	"github.com/siomesh/siomesh/pkg/siomesh"
)

// upCommand runs everything:
//
//	clients ──► :3000 ─┬─ /socket.io/ ─► mesh ◄── NATS 127.0.0.1:4222 ◄── services and apps outside
//	                   └─ /           ─► chat page
//	operators ──► 127.0.0.1:8300
type upCommand struct {
	Listen         string `default:":3000" placeholder:"ADDR" help:"Address for clients and the demo page."`
	InternalListen string `default:"127.0.0.1:8300" placeholder:"ADDR" help:"Address of /livez, /readyz, /metrics and /debug/pprof."`
	NATSListen     string `name:"nats-listen" default:"127.0.0.1:4222" placeholder:"ADDR" help:"Address of the embedded NATS server; none keeps it closed."`
	DataDir        string `default:".data" placeholder:"DIR" help:"State of the embedded NATS server."`
	Auth           string `enum:"builtin,external" default:"builtin" placeholder:"WHICH" help:"builtin or external: whether the stock auth service runs here."`
	API            bool   `name:"api" env:"SIOMESH_API" default:"true" negatable:"" help:"Answer API requests over the embedded NATS server, if that is open."`
	Demo           bool   `default:"true" negatable:"" help:"Run the chat application and serve its page."`
	App            string `default:"chat" placeholder:"NAME" help:"Name of the demo application."`
	Prefix         string `default:"sio" placeholder:"NAME" help:"First token of all NATS subjects."`

	listenFlags  `embed:""`
	engineFlags  `embed:""`
	policyFlags  `embed:""`
	apiFlags     `embed:""`
	processFlags `embed:""`
}

// Run implements the subcommand.
func (c *upCommand) Run(out output) error { return c.do(c, out) }

func (c *upCommand) plan() (string, error) {
	if _, err := c.config(); err != nil {
		return "", err
	}
	if err := c.validate(); err != nil {
		return "", err
	}
	for flag, address := range map[string]string{"--listen": c.Listen, "--internal-listen": c.InternalListen} {
		if err := checkAddress(flag, address); err != nil {
			return "", err
		}
	}
	if c.NATSListen != "none" {
		if err := checkAddress("--nats-listen", c.NATSListen); err != nil {
			return "", err
		}
	}
	if c.Auth == "builtin" {
		if _, err := c.policyFlags.config(); err != nil {
			return "", err
		}
	}
	who := c.Auth
	if who == "builtin" {
		who = strings.Join(c.Policy, ", ")
	}
	return fmt.Sprintf("up: clients on %s%s (%s), NATS on %s, auth %s, internal port %s",
		c.Listen, c.Path, &c.engineFlags, c.NATSListen, who, c.InternalListen), nil
}

func (c *upCommand) config() (siomesh.Config, error) {
	edge, err := c.engineFlags.config()
	if err != nil {
		return siomesh.Config{}, err
	}
	requests, err := c.apiConfig()
	if err != nil {
		return siomesh.Config{}, err
	}
	return siomesh.Config{
		App: c.App, Prefix: c.Prefix,
		Path: c.Path, Transports: c.Transports, DisableUpgrades: !c.AllowUpgrades,
		PingInterval: c.PingInterval, PingTimeout: c.PingTimeout, UpgradeTimeout: c.UpgradeTimeout,
		ConnectTimeout: c.ConnectTimeout, AppWait: c.AppWait, HandOverWait: c.HandOverWait,
		UpgradeWait: edge.UpgradeWait, MaxHTTPBufferSize: c.MaxHTTPBufferSize,
		CORSOrigins: edge.CORS.Origins, CORSMethods: edge.CORS.Methods,
		CORSAllowedHeaders: edge.CORS.AllowedHeaders, CORSExposedHeaders: edge.CORS.ExposedHeaders,
		DisableCORSCredentials: edge.CORS.DisableCredentials, CORSMaxAge: edge.CORS.MaxAge,
		CORSOptionsSuccessStatus: edge.CORS.OptionsSuccessStatus,
		InitialPacket:            edge.InitialPacket, AuthHandshake: edge.AuthHandshake, AuthHandshakePolicy: c.HandshakePolicy,
		TrustedProxies: c.TrustedProxies, ClientDir: edge.ClientDir,
		AllowEIO3: edge.AllowEIO3, Parser: edge.PacketParser, DisableTrailingSlash: edge.DisableTrailingSlash, Cookie: edge.Cookie,
		DisableHTTPCompression: edge.DisableHTTPCompression, HTTPCompressionThreshold: edge.HTTPCompressionThreshold,
		PerMessageDeflate: edge.PerMessageDeflate, PerMessageDeflateThreshold: edge.PerMessageDeflateThreshold,
		BodyTimeout: edge.BodyTimeout, AuthTimeout: edge.AuthTimeout,
		MaxHandshakes: edge.MaxHandshakes, MaxAttachments: edge.Parser.MaxAttachments,
		MaxNamespaces: edge.MaxNamespaces, MaxUnjoined: edge.MaxUnjoined, MaxOutboundBytes: edge.MaxOutboundBytes,
		MaxConnections: edge.MaxConnections, MaxConnectionsPerIP: edge.MaxConnectionsPerIP,
		AcceptRate: edge.AcceptRate, AcceptBurst: edge.AcceptBurst,
		ConnectsPerSecond: edge.ConnectsPerSecond, ConnectBurst: edge.ConnectBurst,
		EventsPerSecond: edge.EventsPerSecond, EventBurst: edge.EventBurst,
		BytesPerSecond: edge.BytesPerSecond, ByteBurst: edge.ByteBurst,
		AuthPolicies: c.Policy, AuthKeys: siomesh.AuthKeys(c.keys()), AuthExternal: c.Auth == "external",
		NATSListen: c.NATSListen, DataDir: c.DataDir,
		DisableAPI: !c.API, APIConcurrency: requests.Concurrency, APITimeout: requests.Timeout, APIMaxTimeout: requests.MaxTimeout,
	}, nil
}

func (c *upCommand) run(ctx context.Context, log *slog.Logger) error {
	registry := telemetry.NewRegistry()
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if err := c.checkClientDir(); err != nil {
		return err
	}
	cfg.Log, cfg.Metrics = log, registry
	clients, internal, err := c.listenBoth(ctx, c.Listen, c.InternalListen)
	if err != nil {
		return err
	}
	if err := telemetry.Register(registry, clients.telemetry()...); err != nil {
		return errors.Join(err, clients.Close(), internal.Close())
	}
	warnOfFileLimit(log, hardFileLimit(), c.MaxConnections, c.MaxTCPConnections)
	m, err := siomesh.New(cfg) //nolint:contextcheck // the mesh outlives what makes it
	if err != nil {
		return err //nolint:wrapcheck // says where it comes from
	}
	public := http.Handler(m)
	if c.Demo {
		if err := demo.Register(m.IO()); err != nil { //nolint:contextcheck // handlers have contexts of their own
			return fmt.Errorf("demo: %w", err)
		}
		public = beside(c.endpoint(), m, demo.Page(c.Path))
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.Run(ctx) })
	g.Go(func() error { return c.serveClients(ctx, clients, public, log) })
	g.Go(func() error { return telemetry.Serve(ctx, internal, telemetry.Handler(registry, m.Healthy), log) })
	g.Go(func() error {
		select {
		case <-m.Ready():
			log.Info("ready", slog.String("url", urlOf(clients.Addr())), slog.String("nats", m.NATSURL()))
		case <-ctx.Done():
		}
		return nil
	})
	return g.Wait() //nolint:wrapcheck // each says where it comes from
}

// endpoint is what the paths that belong to the mesh begin with.
func (c *upCommand) endpoint() string {
	path := strings.TrimSuffix(c.Path, "/")
	if c.AddTrailingSlash || path == "" {
		path += "/"
	}
	return path
}

// urlOf returns where a browser on this machine finds an address.
func urlOf(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// beside sends requests under the path to mesh and all others to page.
func beside(path string, mesh, page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, path) {
			mesh.ServeHTTP(w, r)
		} else {
			page.ServeHTTP(w, r)
		}
	})
}

// listenBoth opens the public and the internal address.
func (f *listenFlags) listenBoth(ctx context.Context, public, internal string) (clients *clientListener, operators net.Listener, err error) {
	if clients, err = f.listen(ctx, public); err != nil {
		return nil, nil, err
	}
	var lc net.ListenConfig
	if operators, err = lc.Listen(ctx, "tcp", internal); err != nil {
		_ = clients.Close() // nobody has come yet
		return nil, nil, fmt.Errorf("--internal-listen: %w", err)
	}
	return clients, operators, nil
}
