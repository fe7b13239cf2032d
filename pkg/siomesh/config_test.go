package siomesh

import (
	"net/http"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/services/edge"
)

// TestEdgeConfig: what is said of the edge reaches it, each field by itself.
func TestEdgeConfig(t *testing.T) {
	covered := map[string]bool{ // by hooks_test.go, or not the edge's
		"AllowRequest": true, "GenerateID": true, "InitialHeaders": true, "Headers": true, "OnConnectionError": true,
		"Middleware": true, "OnSession": true,
		"App": true, "CleanupEmptyChildNamespaces": true, "Prefix": true, "Log": true, "Metrics": true, "NATSListen": true, "DataDir": true,
		"AuthPolicies": true, "AuthKeys": true, "AuthExternal": true, "AuthHandshakePolicy": true,
		"DisableAPI": true, "APIConcurrency": true, "APITimeout": true, "APIMaxTimeout": true, // api_test.go
	}
	cookie, hello := &http.Cookie{Name: "sid"}, engine.NewText([]byte("hello"))
	for _, c := range []struct {
		given Config
		want  edge.Config
	}{
		{Config{}, edge.Config{}},
		{Config{Path: "/x"}, edge.Config{Path: "/x"}},
		{Config{Transports: []string{"a"}}, edge.Config{Transports: []string{"a"}}},
		{Config{DisableUpgrades: true}, edge.Config{DisableUpgrades: true}},
		{Config{PingInterval: time.Second}, edge.Config{PingInterval: time.Second}},
		{Config{PingTimeout: time.Second}, edge.Config{PingTimeout: time.Second}},
		{Config{UpgradeTimeout: time.Second}, edge.Config{UpgradeTimeout: time.Second}},
		{Config{ConnectTimeout: time.Second}, edge.Config{ConnectTimeout: time.Second}},
		{Config{BodyTimeout: time.Second}, edge.Config{BodyTimeout: time.Second}},
		{Config{AuthTimeout: time.Second}, edge.Config{AuthTimeout: time.Second}},
		{Config{MaxHandshakes: 7}, edge.Config{MaxHandshakes: 7}},
		{Config{MaxAttachments: 7}, edge.Config{Parser: protocol.Limits{MaxAttachments: 7}}},
		{Config{AppWait: time.Second}, edge.Config{AppWait: time.Second}},
		{Config{HandOverWait: time.Minute}, edge.Config{HandOverWait: time.Minute}},
		{Config{UpgradeWait: time.Second}, edge.Config{UpgradeWait: time.Second}},
		{Config{MaxHTTPBufferSize: 7}, edge.Config{MaxHTTPBufferSize: 7}},
		{Config{CORSOrigins: []string{"a"}}, edge.Config{CORS: edge.CORS{Origins: []string{"a"}}}},
		{Config{CORSMethods: []string{"a"}}, edge.Config{CORS: edge.CORS{Methods: []string{"a"}}}},
		{Config{CORSAllowedHeaders: []string{"a"}}, edge.Config{CORS: edge.CORS{AllowedHeaders: []string{"a"}}}},
		{Config{CORSExposedHeaders: []string{"a"}}, edge.Config{CORS: edge.CORS{ExposedHeaders: []string{"a"}}}},
		{Config{DisableCORSCredentials: true}, edge.Config{CORS: edge.CORS{DisableCredentials: true}}},
		{Config{CORSMaxAge: time.Hour}, edge.Config{CORS: edge.CORS{MaxAge: time.Hour}}},
		{Config{CORSOptionsSuccessStatus: 200}, edge.Config{CORS: edge.CORS{OptionsSuccessStatus: 200}}},
		{Config{InitialPacket: hello}, edge.Config{InitialPacket: hello}},
		{Config{AuthHandshake: true}, edge.Config{AuthHandshake: true}},
		{Config{ClientDir: "dist"}, edge.Config{ClientDir: "dist"}},
		{Config{AllowEIO3: true}, edge.Config{AllowEIO3: true}},
		{Config{DisableTrailingSlash: true}, edge.Config{DisableTrailingSlash: true}},
		{Config{Cookie: cookie}, edge.Config{Cookie: cookie}},
		{Config{DisableHTTPCompression: true}, edge.Config{DisableHTTPCompression: true}},
		{Config{HTTPCompressionThreshold: 7}, edge.Config{HTTPCompressionThreshold: 7}},
		{Config{PerMessageDeflate: true}, edge.Config{PerMessageDeflate: true}},
		{Config{PerMessageDeflateThreshold: 7}, edge.Config{PerMessageDeflateThreshold: 7}},
		{Config{Parser: "msgpack"}, edge.Config{PacketParser: "msgpack"}},
		{Config{MaxNamespaces: 7}, edge.Config{MaxNamespaces: 7}},
		{Config{MaxUnjoined: 7}, edge.Config{MaxUnjoined: 7}},
		{Config{MaxOutboundBytes: 7}, edge.Config{MaxOutboundBytes: 7}},
		{Config{MaxConnections: 7}, edge.Config{MaxConnections: 7}},
		{Config{MaxConnectionsPerIP: 7}, edge.Config{MaxConnectionsPerIP: 7}},
		{Config{AcceptRate: 7}, edge.Config{AcceptRate: 7}},
		{Config{AcceptBurst: 7}, edge.Config{AcceptBurst: 7}},
		{Config{ConnectsPerSecond: 7}, edge.Config{ConnectsPerSecond: 7}},
		{Config{ConnectBurst: 7}, edge.Config{ConnectBurst: 7}},
		{Config{EventsPerSecond: 7}, edge.Config{EventsPerSecond: 7}},
		{Config{EventBurst: 7}, edge.Config{EventBurst: 7}},
		{Config{BytesPerSecond: 7}, edge.Config{BytesPerSecond: 7}},
		{Config{ByteBurst: 7}, edge.Config{ByteBurst: 7}},
		{Config{TrustedProxies: []string{"10.0.0.0/8"}}, edge.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
	} {
		got, err := c.given.edge()
		if err != nil {
			t.Errorf("%+v: %v", c.given, err)
		}
		if len(got.TrustedProxies) == 0 {
			got.TrustedProxies = nil // an empty list
		}
		for i, v := 0, reflect.ValueOf(c.given); i < v.NumField(); i++ {
			covered[v.Type().Field(i).Name] = covered[v.Type().Field(i).Name] || !v.Field(i).IsZero()
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v\n got %+v\nwant %+v", c.given, got, c.want)
		}
	}
	for name, seen := range covered {
		if !seen {
			t.Errorf("nothing shows that %s has an effect", name)
		}
	}
}
