package edge

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// Config tunes an edge; the zero value works. The engine's options keep the reference server's names.
type Config struct {
	Path              string         // of the Engine.IO endpoint, default /socket.io
	Transports        []string       // default polling and websocket
	DisableUpgrades   bool           // no upgrade from polling is offered
	PingInterval      time.Duration  // default 25 s
	PingTimeout       time.Duration  // default 20 s
	UpgradeTimeout    time.Duration  // default 10 s
	BodyTimeout       time.Duration  // for the body of a POST to come, and for a client to take an answer, default 60 s
	ConnectTimeout    time.Duration  // a session without a joined namespace is closed after it, default 45 s
	MaxHTTPBufferSize int64          // largest message of a client in bytes, default 1 000 000, at most 16 MiB
	MaxOutboundBytes  int64          // bound of what waits for one client, default 4 MiB
	CORS              CORS           // who may use the endpoint from a browser
	TrustedProxies    []netip.Prefix // proxies whose X-Forwarded-For and -Proto are believed
	ClientDir         string         // directory with the browser client's files, served beside the endpoint; "" serves none

	// AuthHandshake asks the auth service about each session before it opens, AuthTimeout long; without a permission the
	// handshake is refused with status 403. At most MaxHandshakes wait for an answer, default 1024; others are refused at once.
	AuthHandshake bool
	MaxHandshakes int

	Hooks // of the program that the edge is a part of

	// AllowEIO3 takes clients of Socket.IO 2.x too. They have no socket id of their own but derive it from the sid of their
	// session, which is a secret: whoever is shown such a client's socket id could act for it, so do not pass it on.
	AllowEIO3 bool

	DisableTrailingSlash       bool         // Path as it is, without a slash behind it: whatever begins with it is served
	Cookie                     *http.Cookie // set, with the sid as its value, by polling handshakes; nil is none
	DisableHTTPCompression     bool         // polling payloads are sent as they are
	HTTPCompressionThreshold   int          // bytes from which a polling payload is compressed, default 1024
	PerMessageDeflate          bool         // WebSocket messages are compressed for clients that offer it
	PerMessageDeflateThreshold int          // bytes from which they are, default 1024

	InitialPacket *engine.Message // sent to each session right behind the open packet; nil is none

	// With several edges, a CONNECT that comes on polling waits this long for the upgrade to WebSocket, default 300 ms, so that
	// the session can move to the edge that the WebSocket reaches; below 0 not at all.
	UpgradeWait time.Duration

	AppWait      time.Duration // how long a CONNECT is held while auth, app or rooms are missing, default 5 s
	HandOverWait time.Duration // how long a socket waits for another instance when its own ends, default 30 s
	AuthTimeout  time.Duration // for one answer of the auth service, default 2 s; a CONNECT is held for AppWait in all

	MaxPackets int   // packets of one socket that the app has not handled, default 64
	MaxBytes   int64 // and their bytes, default 256 KiB
	MaxHeld    int64 // bytes held while the app waits for acknowledgements, default 1 MiB
	MaxAcks    int   // acknowledgements asked of one socket and still open, default 4096

	MaxNamespaces int // namespaces that one connection may be in or ask for, default 64
	MaxUnjoined   int // connections that have joined no namespace yet, default 10 000; below 0 is no limit

	// MaxConnections bounds the sessions of the edge, MaxConnectionsPerIP those of one client address - of an IPv6 /64 - as
	// told by a trusted proxy, and AcceptRate the new ones per second, of which AcceptBurst may come at once, default one
	// second's worth; 0 is no limit. The others are refused with status 503, or 429 for the address, before auth is asked.
	MaxConnections, MaxConnectionsPerIP int
	AcceptRate                          float64
	AcceptBurst                         int

	// What a client may send, for each socket, and in CONNECTs for each connection; 0 is no limit. A burst is what may come at
	// once, default one second's worth. A client that exceeds a limit is not read until the bucket has refilled. An auth verdict
	// may say otherwise for its socket.
	EventsPerSecond float64
	EventBurst      int
	BytesPerSecond  float64 // of the arguments and attachments of packets
	ByteBurst       int     // at least 1024

	// CONNECTs that a connection may send, refused or not: default 10 per second, below 0 no limit, and at once twice
	// MaxNamespaces. Beyond it the client is not read for a while.
	ConnectsPerSecond float64
	ConnectBurst      int

	PacketParser string // ParserJSON or ParserMsgpack: how clients write packets, default JSON

	Parser   protocol.Limits // of a packet of a client: attachments, default 10, depth, default 100, bytes, default and at most 16 MiB
	Presence presence.Config
	Link     link.Config
	Metrics  *Metrics // nil counts nothing
}

func (c Config) withDefaults() Config {
	if c.Path == "" {
		c.Path = "/socket.io"
	}
	c.ConnectTimeout = orDefault(c.ConnectTimeout, 45*time.Second)
	if c.UpgradeWait == 0 {
		c.UpgradeWait = 300 * time.Millisecond
	}
	c.AppWait = orDefault(c.AppWait, 5*time.Second)
	c.HandOverWait = orDefault(c.HandOverWait, handOverWait)
	c.AuthTimeout = cmp.Or(c.AuthTimeout, 2*time.Second)
	c.MaxPackets = orDefault(c.MaxPackets, 64)
	c.MaxBytes = orDefault(c.MaxBytes, 256<<10)
	c.MaxHeld = orDefault(c.MaxHeld, 1<<20)
	c.MaxAcks = orDefault(c.MaxAcks, 4096)
	c.MaxHandshakes = cmp.Or(c.MaxHandshakes, 1024)
	c.MaxNamespaces = orDefault(c.MaxNamespaces, 64)
	if c.MaxUnjoined == 0 {
		c.MaxUnjoined = 10_000
	}
	c.ConnectsPerSecond = cmp.Or(c.ConnectsPerSecond, 10)
	c.ConnectBurst = cmp.Or(c.ConnectBurst, 2*c.MaxNamespaces)
	if c.PacketParser == "" {
		c.PacketParser = ParserJSON
	}
	if c.Parser.MaxBytes <= 0 {
		c.Parser.MaxBytes = maxPacket
	}
	if c.Metrics == nil {
		c.Metrics = &Metrics{}
	}
	return c
}

// maxPacket is the largest packet of a client, its attachments included: it has to fit a record.
const maxPacket = 16 << 20

// Check returns what New would say is wrong with the configuration.
func (c Config) Check() error {
	_, err := New(bus.NewMemory(), mesh.Subjects{}, slog.New(slog.DiscardHandler), c)
	return err
}

func (c Config) validate() error {
	if c.MaxHTTPBufferSize > maxPacket || c.Parser.MaxBytes > maxPacket {
		return fmt.Errorf("messages and packets of clients must not be larger than %d bytes", maxPacket)
	}
	if slices.Contains(c.Transports, "webtransport") {
		return errors.New("transport webtransport is not supported: want polling, websocket or both")
	}
	if c.AuthTimeout < time.Millisecond {
		return fmt.Errorf("auth timeout %s is below 1 ms", c.AuthTimeout)
	}
	if c.MaxHandshakes < 0 || c.Parser.MaxAttachments < 0 {
		return fmt.Errorf("%d handshakes, %d attachments: want 0 or more", c.MaxHandshakes, c.Parser.MaxAttachments)
	}
	if err := c.validateRates(); err != nil {
		return err
	}
	if c.AppWait >= c.ConnectTimeout {
		return fmt.Errorf("app wait %s must be below the connect timeout %s", c.AppWait, c.ConnectTimeout)
	}
	return c.CORS.validate()
}

func (c Config) validateRates() error {
	events, bytes := float64(c.EventBurst), float64(c.ByteBurst)
	limits := authn.Limits{EventsPerSecond: &c.EventsPerSecond, EventBurst: &events, BytesPerSecond: &c.BytesPerSecond, ByteBurst: &bytes}
	if err := limits.Validate(); err != nil {
		return fmt.Errorf("limits of a socket: %w", err)
	}
	if r := c.ConnectsPerSecond; !(r < 0 || r >= 0.001 && r <= 1e6) || c.ConnectBurst < 1 || c.ConnectBurst > 1e6 { // not a number, too
		return fmt.Errorf("%v CONNECTs per second, %d at once: want 0.001 to 1000000, and 1 to 1000000", r, c.ConnectBurst)
	}
	return nil
}

// pollTime is longer than an edge lets a GET wait.
func (c Config) pollTime() time.Duration {
	return orDefault(c.PingInterval, 25*time.Second) + orDefault(c.PingTimeout, 20*time.Second) + 15*time.Second
}

// upgradable reports whether a session on polling may change to WebSocket.
func (c Config) upgradable() bool {
	return !c.DisableUpgrades && (c.Transports == nil || slices.Contains(c.Transports, engine.WebSocket))
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// ParseProxies reads the networks of trusted proxies: addresses or CIDR prefixes.
func ParseProxies(texts []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q: want an address or a CIDR prefix", text)
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
}

// engineConfig is the engine's part of the configuration.
func (s *Service) engineConfig() engine.Config {
	c := engine.Config{
		Path:            s.cfg.Path,
		Transports:      s.cfg.Transports,
		DisableUpgrades: s.cfg.DisableUpgrades,
		AllowEIO3:       s.cfg.AllowEIO3,

		DisableTrailingSlash:       s.cfg.DisableTrailingSlash,
		Cookie:                     s.cfg.Cookie,
		DisableHTTPCompression:     s.cfg.DisableHTTPCompression,
		HTTPCompressionThreshold:   s.cfg.HTTPCompressionThreshold,
		PerMessageDeflate:          s.cfg.PerMessageDeflate,
		PerMessageDeflateThreshold: s.cfg.PerMessageDeflateThreshold,

		PingInterval:      s.cfg.PingInterval,
		PingTimeout:       s.cfg.PingTimeout,
		UpgradeTimeout:    s.cfg.UpgradeTimeout,
		BodyTimeout:       s.cfg.BodyTimeout,
		MaxHTTPBufferSize: s.cfg.MaxHTTPBufferSize,
		MaxOutboundBytes:  s.cfg.MaxOutboundBytes,

		MaxConnections:      s.cfg.MaxConnections,
		MaxConnectionsPerIP: s.cfg.MaxConnectionsPerIP,
		AcceptRate:          s.cfg.AcceptRate,
		AcceptBurst:         s.cfg.AcceptBurst,

		InitialPacket:     s.cfg.InitialPacket,
		CORS:              s.cfg.CORS.options(),
		Middleware:        s.cfg.Middleware,
		Headers:           s.cfg.Headers,
		OnConnectionError: s.cfg.OnConnectionError,
		GenerateID:        s.generateID,
		RemoteAddr:        s.clientAddress,
		Foreign:           s.relay.Foreign,
		Adopt:             s.adopt,
		Metrics:           &s.cfg.Metrics.Engine,
		Log:               s.log,
	}
	if s.cfg.AllowRequest != nil || s.cfg.AuthHandshake {
		c.AllowRequest = s.allow
	}
	if s.cfg.InitialHeaders != nil || s.cfg.AuthHandshake {
		c.InitialHeaders = s.initialHeaders
	}
	return c
}
