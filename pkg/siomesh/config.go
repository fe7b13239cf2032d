package siomesh

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/services/edge"
)

// Config is the configuration of a Mesh. The zero value works: everybody may connect, nothing outside the process takes part.
type Config struct {
	// App names the application of this process, 1 to 32 of a-z, 0-9 and -; default "app".
	App string
	// CleanupEmptyChildNamespaces has a namespace that a client named be forgotten with its last socket; see socketio.Config.
	CleanupEmptyChildNamespaces bool

	// Path of the endpoint, as it is in requests, percent-encoded if need be; default /socket.io. Behind a proxy or handler that
	// takes a prefix away, it is what is left.
	Path string
	// Transports offered, of "polling" and "websocket"; default both.
	Transports []string
	// DisableUpgrades offers no upgrade from polling.
	DisableUpgrades bool
	// PingInterval, PingTimeout, UpgradeTimeout and ConnectTimeout are the reference server's options of these names; default
	// 25 s, 20 s, 10 s and 45 s.
	PingInterval, PingTimeout, UpgradeTimeout, ConnectTimeout time.Duration
	// BodyTimeout is the time for the body of a POST to come, and for a client to take an answer; default 60 s.
	BodyTimeout time.Duration
	// AppWait is how long a client's CONNECT is held while a service it needs is missing; default 5 s.
	AppWait time.Duration
	// HandOverWait is how long a client whose application instance, outside this process, has ended waits for another one if
	// there is none; default 30 s.
	HandOverWait time.Duration
	// UpgradeWait is how long a CONNECT on polling waits for the upgrade while edges outside this process take part, so that the
	// session can move to the edge that its WebSocket reaches; default 300 ms, below 0 is not at all.
	UpgradeWait time.Duration
	// MaxHTTPBufferSize is the largest message of a client in bytes; default 1 000 000.
	MaxHTTPBufferSize int64
	// CORSOrigins may use the endpoint from a browser; "*" is all, none is no CORS headers, whatever the next fields say.
	CORSOrigins []string
	// CORSMethods are allowed in preflights, default GET, HEAD, PUT, PATCH, POST and DELETE; CORSAllowedHeaders too, default
	// whichever the browser asks for; pages may read CORSExposedHeaders.
	CORSMethods, CORSAllowedHeaders, CORSExposedHeaders []string
	// DisableCORSCredentials keeps cookies out of requests of other origins; with the origin "*" they are never allowed.
	DisableCORSCredentials bool
	// CORSMaxAge is how long browsers may remember a preflight, in whole seconds; 0 leaves it to them.
	CORSMaxAge time.Duration
	// CORSOptionsSuccessStatus is that of preflights; default 204.
	CORSOptionsSuccessStatus int
	// TrustedProxies are the addresses or CIDR prefixes of proxies whose X-Forwarded-For and -Proto are believed.
	TrustedProxies []string
	// AllowEIO3 takes clients of Socket.IO 2.x too. Their socket ids are made of their sids, which are secrets: whoever is shown
	// one could act for that client, so do not pass them on.
	AllowEIO3 bool
	// Parser is how all clients write packets: "json", the default, or "msgpack" for those with the npm package
	// socket.io-msgpack-parser 3; not together with AllowEIO3. Handlers see no difference.
	Parser string
	// DisableTrailingSlash takes Path as it is, without a slash behind it: whatever begins with it is served.
	DisableTrailingSlash bool
	// Cookie is set, with the session's id as its value, by polling handshakes; nil is none, engine.DefaultCookie() the
	// reference server's.
	Cookie *http.Cookie
	// DisableHTTPCompression sends polling payloads as they are; otherwise those of HTTPCompressionThreshold bytes and more,
	// default 1024, are compressed for clients that take it.
	DisableHTTPCompression   bool
	HTTPCompressionThreshold int
	// PerMessageDeflate compresses WebSocket messages of PerMessageDeflateThreshold bytes and more, default 1024, for clients
	// that offer it.
	PerMessageDeflate          bool
	PerMessageDeflateThreshold int
	// MaxAttachments is how many binary attachments one packet of a client may have, which is closed beyond it; default 10, as
	// with the reference's parser.
	MaxAttachments int
	// MaxNamespaces is how many namespaces one client may be in or ask for; default 64.
	MaxNamespaces int
	// MaxUnjoined is how many clients may be there that have joined no namespace yet; default 10 000, below 0 is no limit.
	// Beyond it the oldest of them is closed if it was there for AppWait, else the new one is refused with status 503.
	MaxUnjoined int
	// MaxOutboundBytes bounds what waits to be sent to one client, which is closed beyond it; default 4 MiB.
	MaxOutboundBytes int64
	// MaxConnections bounds the client sessions of the mesh, MaxConnectionsPerIP those of one client address - of an IPv6 /64 -
	// and AcceptRate the new ones per second, of which AcceptBurst may come at once, default one second's worth; 0 is no limit.
	// The others are refused with status 503, or 429 for the address, before AllowRequest is asked.
	MaxConnections, MaxConnectionsPerIP int
	AcceptRate                          float64
	AcceptBurst                         int
	// EventsPerSecond and BytesPerSecond limit what a client may send on each of its sockets, 0 is no limit; EventBurst and
	// ByteBurst are what may come at once, default one second's worth. A client that exceeds a limit loses nothing, and is not
	// read for a while. A verdict of the auth service may set other limits for its socket.
	EventsPerSecond, BytesPerSecond float64
	EventBurst, ByteBurst           int
	// ConnectsPerSecond limits the CONNECTs that a client may send, whether they are refused or not; default 10, below 0 is no
	// limit. ConnectBurst is what may come at once, default twice MaxNamespaces. Beyond it the client is not read for a while.
	ConnectsPerSecond float64
	ConnectBurst      int
	// InitialPacket is sent to each session right behind the open packet, ahead of anything of Socket.IO; nil is none.
	InitialPacket *engine.Message

	// AllowRequest may refuse a handshake, with status 403 and the error's text as the message. It may take its time, and is
	// not asked about later requests of a session. Like all functions here it is called by many goroutines at a time, and must
	// not keep the request.
	AllowRequest func(*http.Request) error
	// GenerateID makes the secret part of a session's id, behind the edge's own name: 16 to 64 of A-Z a-z 0-9 _ -, else the
	// handshake is refused. At least 96 bits of it must be random, and no two alike: whoever knows the id can act for the
	// client. Default are 120 random bits.
	GenerateID func(*http.Request) (string, error)
	// InitialHeaders may add headers to the first response of each session - to a polling handshake, or a WebSocket's 101 -
	// and Headers to that and all others that serve a session.
	InitialHeaders, Headers func(h http.Header, r *http.Request)
	// OnConnectionError is told of each refused request: its code, the code's standard message, and what more is known.
	OnConnectionError func(r *http.Request, code int, message string, context map[string]any)
	// Middleware wraps the serving of each request of the endpoint, the first one outermost: it may set headers, also on a
	// WebSocket's 101, answer itself, or call engine.Refuse. It must pass on the request's context, and a wrapper of the
	// ResponseWriter needs an Unwrap method.
	Middleware []func(http.Handler) http.Handler
	// OnSession is told of each new session, with its first request, before the open packet is sent: the moment for
	// Session.Observe. Messages belong to Socket.IO: a program that sends or closes here had better use the io.
	OnSession func(s *engine.Session, r *http.Request)
	// AuthHandshake asks the auth service about each session before it opens, on top of each namespace. With AuthExternal it
	// is the one outside that has to answer: without a permission the handshake is refused.
	AuthHandshake bool
	// MaxHandshakes is how many handshakes may wait for auth at a time, default 1024; others are refused with status 403.
	MaxHandshakes int
	// AuthTimeout is the time for one answer of the auth service; default 2 s. Without one a CONNECT is held for AppWait, and a
	// handshake refused.
	AuthTimeout time.Duration
	// AuthHandshakePolicy is what the auth service of this process answers then: "allow", the default, or "tokens" or "jwt",
	// for the header "Authorization: Bearer …".
	AuthHandshakePolicy string

	// ClientDir is the dist folder of the npm package socket.io-client, served beside the endpoint; "" serves nothing.
	ClientDir string

	// AuthPolicies say per namespace who may connect, such as "/admin=jwt"; default "*=allow". See the auth service for the
	// policies.
	AuthPolicies []string
	// AuthKeys are what the policies tokens and jwt compare with.
	AuthKeys AuthKeys
	// AuthExternal leaves the verdicts to an auth service outside this process, which needs NATSListen.
	AuthExternal bool

	// NATSListen is host:port of the embedded NATS server, by which services outside the process take part, such as
	// "127.0.0.1:4222"; port 0 picks one. Empty or "none" starts no server: the mesh is this process.
	NATSListen string
	// DataDir keeps the data of the embedded server's JetStream; "" is a directory that is removed at the end.
	DataDir string
	// Prefix is the first token of all NATS subjects; default "sio".
	Prefix string

	// DisableAPI leaves out the API, by which programs outside emit to clients and ask about them: JSON on sio.v1.api.<verb>.
	// Without NATSListen there is none.
	DisableAPI bool
	// APIConcurrency is how many of its requests are handled at the same time, default 256; others are refused as busy.
	APIConcurrency int
	// APITimeout is that of a request that names none, default 4 s, APIMaxTimeout the longest that one may name, default 1 min.
	APITimeout, APIMaxTimeout time.Duration

	// Log gets what the mesh has to say; nil is slog.Default().
	Log *slog.Logger
	// Metrics gets the mesh's metrics; nil shows none.
	Metrics prometheus.Registerer
}

// AuthKeys are what the policies tokens and jwt compare with. Of each pair of fields one is to be set: the text itself, or a
// file that holds it.
type AuthKeys struct {
	// Tokens and TokensFile are a JSON list: [{"token":"…","user":"ann","data":{},"rooms":["staff"]}, …].
	Tokens, TokensFile string
	// JWTAlgorithm is the only one accepted: HS256, RS256 or EdDSA.
	JWTAlgorithm string
	// JWTKey and JWTKeyFile are the shared secret, or the public key in PEM.
	JWTKey, JWTKeyFile string
	// JWTIssuer and JWTAudience, if not empty, must be the token's.
	JWTIssuer, JWTAudience string
}

func (c Config) withDefaults() Config {
	if c.App == "" {
		c.App = "app"
	}
	if len(c.AuthPolicies) == 0 {
		c.AuthPolicies = []string{"*=allow"}
	}
	if c.NATSListen == "none" {
		c.NATSListen = ""
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

func (c Config) edge() (edge.Config, error) {
	proxies, err := edge.ParseProxies(c.TrustedProxies)
	if err != nil {
		return edge.Config{}, err //nolint:wrapcheck // says it all
	}
	return edge.Config{
		Path: c.Path, Transports: c.Transports, DisableUpgrades: c.DisableUpgrades,
		PingInterval: c.PingInterval, PingTimeout: c.PingTimeout,
		UpgradeTimeout: c.UpgradeTimeout, ConnectTimeout: c.ConnectTimeout, AppWait: c.AppWait, HandOverWait: c.HandOverWait,
		UpgradeWait: c.UpgradeWait,
		BodyTimeout: c.BodyTimeout, AuthTimeout: c.AuthTimeout, MaxHandshakes: c.MaxHandshakes,
		Parser:            protocol.Limits{MaxAttachments: c.MaxAttachments},
		MaxHTTPBufferSize: c.MaxHTTPBufferSize, TrustedProxies: proxies, ClientDir: c.ClientDir,
		CORS: edge.CORS{
			Origins: c.CORSOrigins, Methods: c.CORSMethods, AllowedHeaders: c.CORSAllowedHeaders, ExposedHeaders: c.CORSExposedHeaders,
			DisableCredentials: c.DisableCORSCredentials, MaxAge: c.CORSMaxAge, OptionsSuccessStatus: c.CORSOptionsSuccessStatus,
		},
		MaxNamespaces: c.MaxNamespaces, MaxUnjoined: c.MaxUnjoined, MaxOutboundBytes: c.MaxOutboundBytes,
		MaxConnections: c.MaxConnections, MaxConnectionsPerIP: c.MaxConnectionsPerIP,
		AcceptRate: c.AcceptRate, AcceptBurst: c.AcceptBurst,
		EventsPerSecond: c.EventsPerSecond, EventBurst: c.EventBurst,
		BytesPerSecond: c.BytesPerSecond, ByteBurst: c.ByteBurst,
		ConnectsPerSecond: c.ConnectsPerSecond, ConnectBurst: c.ConnectBurst,
		InitialPacket: c.InitialPacket, AuthHandshake: c.AuthHandshake,
		Hooks: edge.Hooks{
			AllowRequest: c.AllowRequest, GenerateID: c.GenerateID, InitialHeaders: c.InitialHeaders, Headers: c.Headers,
			OnConnectionError: c.OnConnectionError, Middleware: c.Middleware, OnSession: c.OnSession,
		},
		AllowEIO3: c.AllowEIO3, PacketParser: c.Parser, DisableTrailingSlash: c.DisableTrailingSlash, Cookie: c.Cookie,
		DisableHTTPCompression: c.DisableHTTPCompression, HTTPCompressionThreshold: c.HTTPCompressionThreshold,
		PerMessageDeflate: c.PerMessageDeflate, PerMessageDeflateThreshold: c.PerMessageDeflateThreshold,
	}, nil
}
