package demo

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
)

//go:embed page
var files embed.FS

// Page returns the handler of the chat's page, to be mounted at "/" of the address that clients connect to. The endpoint is
// the path of Socket.IO there, such as /socket.io.
func Page(endpoint string) http.Handler {
	h, err := PageFor("", endpoint)
	if err != nil { // only if the files in this package were broken
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		})
	}
	return h
}

// PageFor returns the handler of a page that is served elsewhere than clients connect to: edge is the origin where they do,
// and where the client library is, such as https://edge.example.com, and endpoint the path there. The edge must allow the
// page's own origin (--cors-origin).
func PageFor(edge, endpoint string) (http.Handler, error) {
	policy, err := contentPolicy(edge)
	if err != nil {
		return nil, err
	}
	static, err := fs.Sub(files, "page")
	if err != nil {
		return nil, fmt.Errorf("files of the page: %w", err)
	}
	t, err := template.ParseFS(static, "index.html")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	var index bytes.Buffer
	if err := t.Execute(&index, struct{ Edge, Path string }{strings.TrimSuffix(edge, "/"), strings.TrimSuffix(endpoint, "/")}); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	rest := http.FileServerFS(static)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if r.URL.Path != "/" {
			rest.ServeHTTP(w, r)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(index.Bytes())
	}), nil
}

// contentPolicy lets the page load from itself and from the edge, and connect there: a text that became HTML by mistake
// could still do nothing.
func contentPolicy(edge string) (string, error) {
	const own = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if edge == "" {
		return own, nil
	}
	u, err := url.Parse(edge)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || strings.ContainsAny(u.Host, ";,'") {
		return "", fmt.Errorf("address of the edge %q: want http(s)://host[:port]", edge)
	}
	origin := u.Scheme + "://" + u.Host
	ws := "ws" + strings.TrimPrefix(origin, "http")
	return fmt.Sprintf("%s; script-src 'self' %s; connect-src 'self' %s %s", own, origin, origin, ws), nil
}
