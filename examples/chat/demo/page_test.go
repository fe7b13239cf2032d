package demo_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/examples/chat/demo"
)

func ask(tb testing.TB, h http.Handler, path string) *httptest.ResponseRecorder {
	tb.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, path, nil))
	return w
}

func TestPage(t *testing.T) {
	h := demo.Page("/socket.io")
	for path, want := range map[string]string{
		"/":          "text/html; charset=utf-8",
		"/style.css": "text/css; charset=utf-8",
		"/chat.js":   "text/javascript; charset=utf-8",
		"/people.js": "text/javascript; charset=utf-8",
		"/view.js":   "text/javascript; charset=utf-8",
		"/theme.js":  "text/javascript; charset=utf-8",
		"/icon.svg":  "image/svg+xml",
	} {
		w := ask(t, h, path)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != want {
			t.Errorf("%s answers %d, %s, want 200, %s", path, w.Code, got, want)
		}
		if got := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") {
			t.Errorf("%s comes with the policy %q", path, got)
		}
	}
	if w := ask(t, h, "/page.go"); w.Code != http.StatusNotFound {
		t.Errorf("/page.go answers %d, want 404", w.Code)
	}
	if body := ask(t, h, "/").Body.String(); !strings.Contains(body, `src="/socket.io/socket.io.js"`) {
		t.Errorf("the page does not load the client from its own address:\n%s", body)
	}
}

// TestPageFollowsThePath: the page looks for the client and the endpoint where they are.
func TestPageFollowsThePath(t *testing.T) {
	for endpoint, want := range map[string][]string{
		"/x":     {`src="/x/socket.io.js"`, `data-path="/x"`},
		"/x/y/":  {`src="/x/y/socket.io.js"`, `data-path="/x/y"`},
		"/":      {`src="/socket.io.js"`, `data-path=""`},
		`/"><b>`: {`src="/%22%3e%3cb%3e/socket.io.js"`, `data-path="/&#34;&gt;&lt;b&gt;"`},
	} {
		body := ask(t, demo.Page(endpoint), "/").Body.String()
		for _, part := range want {
			if !strings.Contains(body, part) {
				t.Errorf("the page for %s has no %s:\n%.700s", endpoint, part, body)
			}
		}
	}
}

func TestPageFor(t *testing.T) {
	h, err := demo.PageFor("https://edge.example.com:3000/", "/socket.io/")
	if err != nil {
		t.Fatal(err)
	}
	w := ask(t, h, "/")
	for _, want := range []string{
		`src="https://edge.example.com:3000/socket.io/socket.io.js"`, `data-edge="https://edge.example.com:3000"`, `data-path="/socket.io"`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page has no %s:\n%s", want, w.Body)
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{
		"script-src 'self' https://edge.example.com:3000;",
		"connect-src 'self' https://edge.example.com:3000 wss://edge.example.com:3000",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy is %q, want it to have %q", policy, want)
		}
	}
	for _, bad := range []string{"edge.example.com", "javascript:alert(1)", "https://", "https://a/b", "https://a;b", "https://a,b", "ws://a"} {
		if _, err := demo.PageFor(bad, "/socket.io"); err == nil {
			t.Errorf("the address %q was accepted", bad)
		}
	}
}
