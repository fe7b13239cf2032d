package siomesh

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/services/edge"
)

// TestEdgeConfig: what is said of the engine reaches the edge, each field by itself.
func TestEdgeConfig(t *testing.T) {
	cookie, hello := &http.Cookie{Name: "sid"}, engine.NewText([]byte("hello"))
	for _, c := range []struct {
		given Config
		want  edge.Config
	}{
		{Config{}, edge.Config{}},
		{Config{Path: "/x"}, edge.Config{Path: "/x"}},
		{Config{DisableUpgrades: true}, edge.Config{DisableUpgrades: true}},
		{Config{PingInterval: time.Second}, edge.Config{PingInterval: time.Second}},
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
	} {
		got, err := c.given.edge()
		if err != nil {
			t.Errorf("%+v: %v", c.given, err)
		}
		got.TrustedProxies = nil // an empty list
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v\n got %+v\nwant %+v", c.given, got, c.want)
		}
	}
}
