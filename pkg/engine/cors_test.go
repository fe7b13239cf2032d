package engine

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rs/cors"
)

// corsHeaders are those that a browser looks at.
type corsHeaders struct{ origin, methods, headers, credentials, expose, age string }

func corsOf(h http.Header) corsHeaders {
	const a = "Access-Control-"
	return corsHeaders{
		h.Get(a + "Allow-Origin"), h.Get(a + "Allow-Methods"), h.Get(a + "Allow-Headers"),
		h.Get(a + "Allow-Credentials"), h.Get(a + "Expose-Headers"), h.Get(a + "Max-Age"),
	}
}

// EVT-013 to EVT-016: all options of CORS, on a preflight and on what follows.
func TestCORSOptions(t *testing.T) {
	const origin, stranger = "https://good-origin.example", "https://bad-origin.example"
	preflight := func(e *env, origin, method, headers string) response {
		return e.do(t.Context(), http.MethodOptions, "transport=polling", "", "Origin", origin,
			"Access-Control-Request-Method", method, "Access-Control-Request-Headers", headers)
	}
	check := func(what string, res response, status int, want corsHeaders) {
		t.Helper()
		if got := corsOf(res.header); res.status != status || got != want {
			t.Errorf("%s: %d %+v, want %d %+v", what, res.status, got, status, want)
		}
		if status == http.StatusNoContent && res.body != "" {
			t.Errorf("%s: body %q", what, res.body)
		}
	}

	all := newEnv(t, Config{CORS: &cors.Options{AllowedOrigins: []string{origin}, AllowCredentials: true}}, options{})
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"} { // EVT-013
		check("preflight for "+method, preflight(all, origin, method, "x-my"), 204, corsHeaders{
			origin: origin, methods: method, headers: "x-my", credentials: "true",
		})
	}
	handshake := all.do(t.Context(), http.MethodGet, "transport=polling", "", "Origin", origin)
	check("handshake", handshake, 200, corsHeaders{origin: origin, credentials: "true"}) // EVT-014
	for what, h := range map[string]http.Header{"handshake": handshake.header, "preflight": preflight(all, origin, "GET", "x-my").header} {
		if got := strings.Join(h.Values("Vary"), ", "); !strings.Contains(got, "Origin") { // EVT-013, EVT-014: or a cache mixes them up
			t.Errorf("%s: Vary %q", what, got)
		}
	}
	open := newEnv(t, Config{CORS: &cors.Options{AllowedOrigins: []string{"*"}}}, options{})
	check("preflight of anybody", preflight(open, stranger, "POST", "x-my"), 204, corsHeaders{origin: "*", methods: "POST", headers: "x-my"})       // EVT-013
	check("handshake of anybody", open.do(t.Context(), http.MethodGet, "transport=polling", "", "Origin", stranger), 200, corsHeaders{origin: "*"}) // EVT-014
	check("preflight of a stranger", preflight(all, stranger, "GET", "x-my"), 204, corsHeaders{})                                                   // EVT-015
	check("handshake of a stranger", all.do(t.Context(), http.MethodGet, "transport=polling", "", "Origin", stranger), 200, corsHeaders{})
	check("refusal", all.do(t.Context(), http.MethodPost, "transport=polling", "", "Origin", origin), 400, corsHeaders{
		origin: origin, credentials: "true", // EVT-017
	})

	own := newEnv(t, Config{CORS: &cors.Options{
		AllowedOrigins: []string{origin}, AllowedMethods: []string{"GET", "PUT"}, AllowedHeaders: []string{"X-One", "X-Two"},
		ExposedHeaders: []string{"X-Shown"}, MaxAge: 123, OptionsSuccessStatus: http.StatusOK,
	}}, options{})
	check("preflight", preflight(own, origin, "PUT", "x-one,x-two"), 200, corsHeaders{ // EVT-016
		origin: origin, methods: "PUT", headers: "x-one,x-two", age: "123",
	})
	check("preflight for a method of several", preflight(own, origin, "GET", "x-two"), 200, corsHeaders{ // EVT-016
		origin: origin, methods: "GET", headers: "x-two", age: "123",
	})
	check("preflight for another method", preflight(own, origin, "DELETE", "x-one"), 200, corsHeaders{})                 // EVT-016
	check("preflight for another header", preflight(own, origin, "PUT", "x-three"), 200, corsHeaders{})                  // EVT-016
	check("handshake", own.do(t.Context(), http.MethodGet, "transport=polling", "", "Origin", origin), 200, corsHeaders{ // EVT-016
		origin: origin, expose: "X-Shown",
	})
	check("OPTIONS alone", own.do(t.Context(), http.MethodOptions, "transport=polling", "", "Origin", origin), 200, corsHeaders{
		origin: origin, expose: "X-Shown", // EVT-016
	})

	none := newEnv(t, Config{}, options{})
	check("without CORS", none.do(t.Context(), http.MethodGet, "transport=polling", "", "Origin", origin), 200, corsHeaders{})
}
