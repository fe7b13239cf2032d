package engine

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rs/cors"
)

// The transports.
const (
	Polling   = "polling"
	WebSocket = "websocket"
)

// SessionID is the secret id of a session. Whoever knows it can act for the client, so
// it is never logged.
type SessionID string

// Config are the tunables of a Server. The zero value is the reference's defaults.
type Config struct {
	// Path is where the server listens, default "/engine.io". A request matches when its
	// path starts with Path and a slash, as with the reference's attach (EIO-032, EIO-033).
	Path string
	// DisableTrailingSlash takes Path as it is, without a slash behind it (addTrailingSlash
	// false): whatever begins with it matches (EIO-032).
	DisableTrailingSlash bool
	// Transports are those accepted, default polling and websocket.
	Transports []string
	// DisableUpgrades stops offering upgrades in the handshake (allowUpgrades false, EIO-007).
	DisableUpgrades bool

	// AllowEIO3 accepts protocol 3 too, that of Socket.IO 2.x clients, in requests without
	// EIO=4 (V3-010); otherwise they are refused with code 5.
	AllowEIO3 bool

	// PingInterval is the time from the opening, and from each pong, to the next ping, or up to a hundredth and 250 ms less, so
	// that pings go together; default 25 s.
	PingInterval time.Duration
	// PingTimeout is the time a client has to answer a ping, and as much more as pings may be
	// early; default 20 s. In protocol 3 it is the client that pings, within PingInterval +
	// PingTimeout.
	PingTimeout time.Duration
	// UpgradeTimeout is the time a probing transport has to complete the upgrade; default 10 s.
	UpgradeTimeout time.Duration
	// BodyTimeout is the time in which the body of a POST must have arrived; default 60 s.
	BodyTimeout time.Duration

	// MaxHTTPBufferSize bounds a POST body and a WebSocket message in bytes, default 1e6;
	// clients are told it as maxPayload.
	MaxHTTPBufferSize int64
	// MaxOutboundBytes bounds what waits to be sent to one session, default 4 MiB. One send
	// larger than that is admitted when nothing else waits.
	MaxOutboundBytes int64

	// MaxConnections bounds the sessions of the server, those about to open included, and
	// MaxConnectionsPerIP those of one client address as RemoteAddr tells it; the addresses of an
	// IPv6 /64 are one. 0 is no limit. Beyond it handshakes are refused with status 503 or, for
	// the address, 429. Sessions that move here count, and are never refused.
	MaxConnections, MaxConnectionsPerIP int
	// AcceptRate is how many handshakes per second are let through to AllowRequest and what
	// follows, 0 is no limit, and AcceptBurst how many at once, default one second's worth. The
	// others are refused with status 503.
	AcceptRate  float64
	AcceptBurst int

	// DisableHTTPCompression sends polling payloads as they are (httpCompression false).
	// Otherwise those of HTTPCompressionThreshold bytes and more, default 1024, are sent in
	// gzip or deflate if the client takes that (POL-025 to POL-029).
	DisableHTTPCompression   bool
	HTTPCompressionThreshold int
	// PerMessageDeflate compresses WebSocket messages of PerMessageDeflateThreshold bytes and
	// more, default 1024, for clients that offer it. No context is kept between messages: a
	// message is compressed once, whoever many sessions it is sent to, and a session needs no
	// memory for it (WS-012).
	PerMessageDeflate          bool
	PerMessageDeflateThreshold int

	// InitialPacket is sent to each session right behind the open packet (EIO-031); nil is none.
	InitialPacket *Message
	// Cookie is set, with the session's id as its value, in the response to a polling
	// handshake (EVT-010 to EVT-012): nil is none, DefaultCookie the reference's.
	Cookie *http.Cookie

	// CORS sets the CORS headers; nil sets none. Empty AllowedMethods and AllowedHeaders mean
	// the reference's: all its methods, and whichever headers the browser asks for.
	CORS *cors.Options
	// Middleware wraps the serving of each request below Path, the first one outermost, behind
	// CORS (EVT-018 to EVT-022). A middleware may set headers, which a WebSocket's 101 gets
	// too, answer the request itself, or call Refuse. One that wraps the ResponseWriter must
	// give its wrapper an Unwrap method, as for http.ResponseController. Of a request for
	// WebSocket it wraps the handshake only: the connection outlives it.
	Middleware []func(http.Handler) http.Handler
	// InitialHeaders may add headers to the first response of each session, be it the answer
	// to a polling handshake or a WebSocket's 101; Headers to that and all others that serve a
	// session, the 101 of an upgrade included, but not to refusals (EVT-007 to EVT-009).
	InitialHeaders, Headers func(h http.Header, r *http.Request)

	// GenerateID names a new session; the default is 20 URL-safe characters, 120 random bits.
	// It may take its time, and with an error refuses the handshake (EIO-027 to EIO-029).
	GenerateID func(*http.Request) (SessionID, error)
	// AllowRequest may refuse a handshake: the error's text is the message of code 4. It is
	// not asked about requests that carry a sid, and may take its time (EIO-022 to EIO-025).
	AllowRequest func(*http.Request) error
	// OnConnectionError is told of every refused request: its code, the code's standard
	// message and what more is known (EIO-026). It must not keep r.
	OnConnectionError func(r *http.Request, code int, message string, context map[string]any)
	// RemoteAddr returns the address of a client, say from a trusted proxy's header; the
	// default is r.RemoteAddr.
	RemoteAddr func(*http.Request) string

	// Foreign serves a request for a session that this server does not have, by handing it to
	// the one that does, where ServeRelayed takes it, and reports whether it has served it;
	// otherwise the session is unknown. For WebSocket it calls RelayUpgrade. nil: every
	// session is here.
	Foreign func(w http.ResponseWriter, r *http.Request, sid SessionID) bool
	// Adopt is Accept for a session that moves here from another server, with the state that
	// its handler there returned from Move.
	Adopt func(s *Session, state []byte) (Handler, error)

	// Metrics counts; nil counts nothing.
	Metrics *Metrics
	// Log gets sessions at debug level; nil logs nothing.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Path == "" {
		c.Path = "/engine.io"
	}
	c.Path = strings.TrimSuffix(c.Path, "/")
	if !c.DisableTrailingSlash || c.Path == "" {
		c.Path += "/"
	}
	if c.Transports == nil {
		c.Transports = []string{Polling, WebSocket}
	}
	c.PingInterval = orDefault(c.PingInterval, 25*time.Second)
	c.PingTimeout = orDefault(c.PingTimeout, 20*time.Second)
	c.UpgradeTimeout = orDefault(c.UpgradeTimeout, 10*time.Second)
	c.BodyTimeout = orDefault(c.BodyTimeout, time.Minute)
	c.MaxHTTPBufferSize = orDefault(c.MaxHTTPBufferSize, 1e6)
	c.MaxOutboundBytes = orDefault(c.MaxOutboundBytes, 4<<20)
	c.HTTPCompressionThreshold = orDefault(c.HTTPCompressionThreshold, 1024)
	c.PerMessageDeflateThreshold = orDefault(c.PerMessageDeflateThreshold, 1024)
	if c.AcceptBurst == 0 {
		c.AcceptBurst = defaultAcceptBurst(c.AcceptRate)
	}
	if c.CORS != nil {
		c.CORS = corsDefaults(*c.CORS)
	}
	if c.GenerateID == nil {
		c.GenerateID = func(*http.Request) (SessionID, error) { return randomID(), nil }
	}
	if c.RemoteAddr == nil {
		c.RemoteAddr = func(r *http.Request) string { return r.RemoteAddr }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate reports what a server cannot work with; c has its defaults.
func (c Config) validate() error {
	if !strings.HasPrefix(c.Path, "/") {
		return fmt.Errorf("engine: path %q does not start with a slash", c.Path)
	}
	if len(c.Transports) == 0 {
		return errors.New("engine: no transport")
	}
	for _, t := range c.Transports {
		if t != Polling && t != WebSocket {
			return fmt.Errorf("engine: unknown transport %q", t)
		}
	}
	for name, d := range map[string]time.Duration{
		"ping interval": c.PingInterval, "ping timeout": c.PingTimeout,
		"upgrade timeout": c.UpgradeTimeout, "body timeout": c.BodyTimeout,
	} {
		if d < time.Millisecond { // told to clients in whole milliseconds
			return fmt.Errorf("engine: %s %v is below 1 ms", name, d)
		}
	}
	if c.MaxHTTPBufferSize < 0 || c.MaxOutboundBytes < 0 {
		return errors.New("engine: negative size limit")
	}
	if c.HTTPCompressionThreshold < 0 || c.PerMessageDeflateThreshold < 0 {
		return errors.New("engine: negative compression threshold")
	}
	if err := c.validateAdmission(); err != nil {
		return err
	}
	return c.validateHooks()
}

// validateHooks reports what is wrong with what is put into responses.
func (c Config) validateHooks() error {
	if c.Cookie != nil {
		cookie := *c.Cookie
		cookie.Value = "sid"
		if err := cookie.Valid(); err != nil {
			return fmt.Errorf("engine: cookie: %w", err)
		}
	}
	if slices.ContainsFunc(c.Middleware, func(m func(http.Handler) http.Handler) bool { return m == nil }) {
		return errors.New("engine: nil middleware")
	}
	return nil
}

// upgradesFrom returns what a session on the transport may upgrade to.
func (c Config) upgradesFrom(transport string) []string {
	if transport == Polling && !c.DisableUpgrades && slices.Contains(c.Transports, WebSocket) {
		return []string{WebSocket}
	}
	return []string{} // not null in JSON
}

// corsDefaults fills in what the reference's CORS middleware does when not told otherwise.
func corsDefaults(o cors.Options) *cors.Options {
	if len(o.AllowedMethods) == 0 {
		o.AllowedMethods = []string{"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"}
	}
	if len(o.AllowedHeaders) == 0 {
		o.AllowedHeaders = []string{"*"}
	}
	return &o
}

func orDefault[T ~int | ~int64](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

func randomID() SessionID {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return SessionID(base64.RawURLEncoding.EncodeToString(b[:]))
}
