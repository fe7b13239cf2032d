package edge

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/siomesh/siomesh/pkg/engine"
)

func TestTrailingSlash(t *testing.T) {
	for _, c := range []struct {
		disabled bool
		path     string
		want     int
	}{
		{false, "/socket.io/", 200},
		{false, "/socket.io", 404},
		{true, "/socket.io/", 200},
		{true, "/socket.io", 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{DisableTrailingSlash: c.disabled})
			status, _, _ := w.request(http.MethodGet, c.path+"?EIO=4&transport=polling", "")
			if status != c.want { // EIO-032
				t.Errorf("%s, disabled %v: got %d, want %d", c.path, c.disabled, status, c.want)
			}
		})
	}
}

func TestCookie(t *testing.T) {
	for _, cookie := range []*http.Cookie{nil, engine.DefaultCookie()} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{Cookie: cookie})
			_, text, h := w.request(http.MethodGet, "", "")
			want := ""
			if cookie != nil {
				sid, _, _ := strings.Cut(strings.TrimPrefix(text, `0{"sid":"`), `"`)
				want = "io=" + sid + "; Path=/; HttpOnly; SameSite=Lax"
			}
			if got := h.Get("Set-Cookie"); got != want { // EVT-010, EVT-012
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestHTTPCompression(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, ""}, // the handshake is below the default threshold
		{Config{HTTPCompressionThreshold: 1}, "gzip"},                           // POL-027
		{Config{HTTPCompressionThreshold: 1, DisableHTTPCompression: true}, ""}, // POL-029
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, c.cfg)
			_, _, h := w.request(http.MethodGet, "", "", "Accept-Encoding", "gzip")
			if got := h.Get("Content-Encoding"); got != c.want {
				t.Errorf("%+v: got %q, want %q", c.cfg, got, c.want)
			}
		})
	}
}

func TestPerMessageDeflate(t *testing.T) {
	for _, c := range []struct {
		cfg                Config
		agreed, compressed bool
	}{
		{Config{}, false, false}, // WS-012: off by default
		{Config{PerMessageDeflateThreshold: 1}, false, false},
		{Config{PerMessageDeflate: true}, true, false}, // WS-012: the open packet is below the threshold
		{Config{PerMessageDeflate: true, PerMessageDeflateThreshold: 1}, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, c.cfg)
			d := ws.Dialer{NetDial: w.dial}
			d.Extensions = append(d.Extensions, wsflate.DefaultParameters.Option())
			conn, buffered, agreed, err := d.Dial(t.Context(), "ws://pipe/socket.io/?EIO=4&transport=websocket")
			if err != nil {
				t.Fatalf("dial: %v", err)
			}
			defer conn.Close()
			var first ws.Header
			if buffered != nil {
				first, err = ws.ReadHeader(buffered)
			} else {
				first, err = ws.ReadHeader(conn)
			}
			if err != nil || (len(agreed.Extensions) > 0) != c.agreed || first.Rsv1() != c.compressed {
				t.Errorf("%+v: agreed on %d extensions, compressed %v, %v", c.cfg, len(agreed.Extensions), first.Rsv1(), err)
			}
		})
	}
}
