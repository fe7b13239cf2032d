package edge

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"
)

// installed makes a package like the one from npm and returns its dist folder. The content of a file is its name, often.
func installed(tb testing.TB, manifest string) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "dist")
	if err := os.Mkdir(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	for _, bundle := range bundles() {
		put(tb, filepath.Join(dir, bundle), contentOf(bundle))
		put(tb, filepath.Join(dir, bundle+".map"), contentOf(bundle+".map"))
	}
	put(tb, filepath.Join(dir, "secret.txt"), "secret")
	if manifest != "" {
		put(tb, filepath.Join(dir, "..", "package.json"), manifest)
	}
	return dir
}

const manifest = `{"name":"socket.io-client","version":"4.8.3"}`

func contentOf(name string) string { return strings.Repeat(name+" ", 500) }

func put(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// answered is what a handler answered.
type answered struct {
	status int
	text   string
	header http.Header
}

// fetch asks a handler for a file.
func fetch(tb testing.TB, h http.Handler, method, name string, header ...string) answered {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, "/socket.io/"+name, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answered{w.Code, w.Body.String(), w.Header()}
}

func body(tb testing.TB, r io.Reader) string {
	tb.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestClientFiles(t *testing.T) {
	dir := installed(t, manifest)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{ClientDir: dir, CORS: CORS{Origins: []string{"http://x"}}})
		for name, kind := range map[string]string{
			"socket.io.js":                 "application/javascript; charset=utf-8",
			"socket.io.js.map":             "application/json; charset=utf-8",
			"socket.io.min.js":             "application/javascript; charset=utf-8",
			"socket.io.min.js.map":         "application/json; charset=utf-8",
			"socket.io.msgpack.min.js":     "application/javascript; charset=utf-8",
			"socket.io.msgpack.min.js.map": "application/json; charset=utf-8",
			"socket.io.esm.min.js":         "application/javascript; charset=utf-8",
			"socket.io.esm.min.js.map":     "application/json; charset=utf-8",
		} {
			status, text, h := w.request(http.MethodGet, "/socket.io/"+name+"?v=1", "", "Accept-Encoding", "identity")   // SRV-009
			if status != 200 || text != contentOf(name) || h.Get("Content-Type") != kind || h.Get("ETag") != `"4.8.3"` { // SRV-008
				t.Errorf("%s: got %d %.20q %v", name, status, text, h)
			}
			if h.Get("Cache-Control") != "public, max-age=0" || h.Get("X-Sourcemap") != "" { // SRV-013
				t.Errorf("%s: got %v", name, h)
			}
		}
		_, _, h := w.request(http.MethodGet, "/socket.io/socket.io.js", "", "Origin", "http://x")
		if got := h.Get("Access-Control-Allow-Origin"); got != "http://x" { // SRV-012
			t.Errorf("CORS: got %q", got)
		}
		if got := strings.Join(h.Values("Vary"), ", "); !strings.Contains(got, "Origin") || !strings.Contains(got, "Accept-Encoding") {
			t.Errorf("Vary: got %q", got)
		}
		for path, want := range map[string]int{
			"/socket.io/secret.txt":               400, // SRV-014
			"/socket.io/../secret.txt":            400,
			"/socket.io/%2e%2e/socket.io.js/x.js": 400,
			"/socket.io/.map":                     400,
			"/socket.io/socket.io.js.map.map":     400,
			"/elsewhere/socket.io.js":             404, // SRV-015
		} {
			if status, _, _ := w.request(http.MethodGet, path, ""); status != want {
				t.Errorf("%s: got %d, want %d", path, status, want)
			}
		}
	})
}

func TestNoClientFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		if status, _, _ := w.request(http.MethodGet, "/socket.io/socket.io.js", ""); status != 400 { // SRV-016
			t.Errorf("got %d, want 400", status)
		}
	})
}

func TestClientFileCodings(t *testing.T) {
	h := newClientFiles(installed(t, manifest), nil, slog.New(slog.DiscardHandler))
	for accept, want := range map[string]string{
		"":                                      "",
		"gzip":                                  "gzip", // SRV-011, and so the others
		"br":                                    "br",
		"gzip, deflate, br, zstd":               "gzip",
		"br, gzip":                              "br",
		"gzip;q=0.5, br;q=0.9":                  "br",
		"br;q=0.5, GZIP;q=0.9":                  "gzip",
		"br; q=0, gzip; q=0.001":                "gzip",
		"br;q=0, gzip;q=0":                      "",
		"deflate, zstd":                         "",
		"*":                                     "br",
		"*;q=0.5, gzip;q=0.1":                   "br",
		"*, br;q=0":                             "gzip",
		"*;q=0":                                 "",
		"identity":                              "",
		"identity;q=1, gzip;q=0.5":              "",
		"identity;q=0.5, gzip;q=0.8":            "gzip",
		"gzip;q=2":                              "",
		"gzip;q=-1, br;q=NaN":                   "",
		"gzip;q=":                               "",
		"gzip;level=9;q=0.4, br;x=y":            "br",
		",, ;q=1, gzip":                         "gzip",
		strings.Repeat("x,", 1000) + "br;q=1.0": "br",
	} {
		res := fetch(t, h, http.MethodGet, "socket.io.js", "Accept-Encoding", accept)
		if got := res.header.Get("Content-Encoding"); res.status != 200 || got != want {
			t.Errorf("%.40q: got %d, %q, want %q", accept, res.status, got, want)
		}
		raw := res.text
		if got := res.header.Get("Content-Length"); got != strconv.Itoa(len(raw)) {
			t.Errorf("%.40q: Content-Length %s of %d bytes", accept, got, len(raw))
		}
		tag, text := `W/"4.8.3"`, ""
		switch want {
		case "":
			tag, text = `"4.8.3"`, raw
		case "br":
			text = body(t, brotli.NewReader(strings.NewReader(raw)))
		case "gzip":
			zip, err := gzip.NewReader(strings.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			text = body(t, zip)
		}
		if text != contentOf("socket.io.js") || want != "" && len(raw) > len(text)/2 {
			t.Errorf("%.40q: got %d bytes that are %.20q", accept, len(raw), text)
		}
		if got := res.header.Get("ETag"); got != tag || res.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%.40q: got the tag %s and %v, want %s", accept, got, res.header.Values("Vary"), tag)
		}
	}
}

func TestClientFileConditions(t *testing.T) {
	h := newClientFiles(installed(t, manifest), nil, slog.New(slog.DiscardHandler))
	for _, coding := range []string{"", "gzip", "br"} {
		for match, want := range map[string]int{`"4.8.3"`: 304, `W/"4.8.3"`: 304, `"4.8.2"`: 200, `W/"x"`: 200} { // SRV-010
			res := fetch(t, h, http.MethodGet, "socket.io.js", "If-None-Match", match, "Accept-Encoding", coding)
			if res.status != want {
				t.Errorf("If-None-Match %s, %q: got %d, want %d", match, coding, res.status, want)
			}
			if text := res.text; want == 304 && (text != "" || res.header.Get("ETag") == "" || res.header.Get("Vary") == "") {
				t.Errorf("304, %q: got %q, %v", coding, text, res.header)
			}
		}
		res := fetch(t, h, http.MethodHead, "socket.io.js", "Accept-Encoding", coding)
		whole := fetch(t, h, http.MethodGet, "socket.io.js", "Accept-Encoding", coding).text
		if got := res.header.Get("Content-Length"); got != strconv.Itoa(len(whole)) || res.text != "" {
			t.Errorf("HEAD, %q: got length %s, want %d and no body", coding, got, len(whole))
		}
	}
	content := contentOf("socket.io.js")
	res := fetch(t, h, http.MethodGet, "socket.io.js", "Range", "bytes=10-19", "If-Range", `"4.8.3"`, "Accept-Encoding", "br")
	if text := res.text; res.status != 206 || text != content[10:20] || res.header.Get("Content-Encoding") != "" {
		t.Errorf("range: got %d %q %v", res.status, text, res.header)
	}
	res = fetch(t, h, http.MethodGet, "socket.io.js", "Range", "bytes=10-19", "If-Range", `W/"4.8.3"`)
	if text := res.text; res.status != 200 || text != content { // part of what was compressed means nothing here
		t.Errorf("range behind a weak tag: got %d and %d bytes", res.status, len(text))
	}
	if res := fetch(t, h, http.MethodGet, "socket.io.js", "Range", "bytes=999999-"); res.status != 416 {
		t.Errorf("range beyond the end: got %d", res.status)
	}
}

// TestClientFileTag: a version names the content only if it is that of the client's package.
func TestClientFileTag(t *testing.T) {
	long := `{"name":"socket.io-client","version":"` + strings.Repeat("1", 65) + `"}`
	for _, other := range []string{
		"", "no JSON", `{"name":"my-site","version":"1.0.0"}`, `{"name":"socket.io-client"}`, `{"name":"socket.io-client","version":"1\"\r\n"}`, long,
	} {
		h := newClientFiles(installed(t, other), nil, slog.New(slog.DiscardHandler))
		one := fetch(t, h, http.MethodGet, "socket.io.js").header.Get("ETag")
		two := fetch(t, h, http.MethodGet, "socket.io.min.js").header.Get("ETag")
		if len(one) != 18 || len(two) != 18 || one == two {
			t.Errorf("package.json %q: got the tags %s and %s, want two digests", other, one, two)
		}
	}
}

// TestClientFileChanges: an update of the package is seen, and what was compressed before is forgotten.
func TestClientFileChanges(t *testing.T) {
	dir := installed(t, manifest)
	var logged bytes.Buffer
	h := newClientFiles(dir, nil, slog.New(slog.NewTextHandler(&logged, nil)))
	read := func() (text, tag string) {
		res := fetch(t, h, http.MethodGet, "socket.io.js", "Accept-Encoding", "br")
		if res.header.Get("Content-Encoding") != "br" {
			return res.text, ""
		}
		return body(t, brotli.NewReader(strings.NewReader(res.text))), res.header.Get("ETag")
	}
	if text, tag := read(); text != contentOf("socket.io.js") || tag != `W/"4.8.3"` {
		t.Errorf("at first: got %.20q %s", text, tag)
	}
	put(t, filepath.Join(dir, "socket.io.js"), "another")
	if text, tag := read(); text != "another" || tag != `W/"4.8.3"` {
		t.Errorf("another file: got %q %s", text, tag)
	}
	put(t, filepath.Join(dir, "..", "package.json"), strings.Replace(manifest, "4.8.3", "4.10.0", 1))
	if text, tag := read(); text != "another" || tag != `W/"4.10.0"` {
		t.Errorf("another package: got %q %s", text, tag)
	}
	put(t, filepath.Join(dir, "socket.io.js"), "samesize")
	later := time.Now().Add(time.Minute)
	put(t, filepath.Join(dir, "socket.io.js"), "sizesame")
	if err := os.Chtimes(filepath.Join(dir, "socket.io.js"), later, later); err != nil {
		t.Fatal(err)
	}
	if text, _ := read(); text != "sizesame" {
		t.Errorf("as large as before: got %q", text)
	}
	if err := os.Remove(filepath.Join(dir, "socket.io.js")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if res := fetch(t, h, http.MethodGet, "socket.io.js"); res.status != 404 || !strings.Contains(res.text, "not installed") ||
			res.header.Get("ETag") != "" {
			t.Errorf("removed: got %d %v", res.status, res.header)
		}
	}
	if n := strings.Count(logged.String(), "client file missing"); n != 1 {
		t.Errorf("told %d times that it is missing, want once", n)
	}
	if err := os.Mkdir(filepath.Join(dir, "socket.io.js"), 0o700); err != nil {
		t.Fatal(err)
	}
	if res := fetch(t, h, http.MethodGet, "socket.io.js"); res.status != 404 {
		t.Errorf("a directory: got %d, want 404", res.status)
	}
}

// FuzzClientCoding: whatever a client says of codings, it gets none that it does not name, by a star at least.
func FuzzClientCoding(f *testing.F) {
	for _, text := range []string{"gzip, deflate, br", "br;q=0.5,gzip;q=0.7", "*;q=0.1, identity;q=0", "gzip;q=NaN, br;q=", ";;=,,*"} {
		f.Add(text, "")
	}
	f.Add("gzip;q=0", "br")
	f.Fuzz(func(t *testing.T, first, second string) {
		coding := clientCoding([]string{first, second})
		named := strings.ToLower(first + "," + second)
		switch {
		case coding == "":
		case coding != codingBrotli && coding != codingGzip:
			t.Errorf("%q, %q: there is no coding %q", first, second, coding)
		case !strings.Contains(named, coding) && !strings.Contains(named, "*"):
			t.Errorf("%q, %q: got %s", first, second, coding)
		}
		if got := clientCoding([]string{first + "," + second}); got != coding {
			t.Errorf("%q, %q: got %s from two headers, %s from one", first, second, coding, got)
		}
	})
}
