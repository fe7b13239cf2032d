package edge

import (
	"bytes"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/rs/cors"
)

// isClientFile reports whether a path is that of a file of the npm package socket.io-client which the reference server offers
// beside its endpoint, each with its map (SRV-008).
func isClientFile(endpoint, requested string) bool {
	name, ok := strings.CutPrefix(requested, strings.TrimSuffix(endpoint, "/")+"/")
	if !ok {
		return false
	}
	for _, bundle := range bundles() {
		if name == bundle || name == bundle+".map" {
			return true
		}
	}
	return false
}

// bundles are the client's files without their maps.
func bundles() [4]string {
	return [4]string{"socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js", "socket.io.esm.min.js"}
}

// clientFiles serves the files of a directory that come from npm and are never part of this program.
type clientFiles struct {
	dir   string
	log   *slog.Logger
	files map[string]*clientFile // by name; not changed
}

// newClientFiles returns the handler of the files in dir, for requests that isClientFile.
func newClientFiles(dir string, origins *cors.Options, log *slog.Logger) http.Handler {
	c := &clientFiles{dir: dir, log: log, files: map[string]*clientFile{}}
	for _, bundle := range bundles() {
		for _, name := range []string{bundle, bundle + ".map"} {
			c.files[name] = &clientFile{dir: dir, name: name}
		}
	}
	if origins != nil {
		return cors.New(*origins).Handler(c)
	}
	return c
}

// ServeHTTP implements http.Handler. The tag is the version of the package, as with the reference (SRV-008); since one tag
// may not name two representations strongly (RFC 9110 section 8.8.1), it is weak on what is compressed. A range is always one of
// the file itself.
func (c *clientFiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	file := c.files[name]
	coding := ""
	if r.Header.Get("Range") == "" {
		coding = clientCoding(r.Header["Accept-Encoding"]) // SRV-011
	}
	content, tag, err := file.read(coding)
	if err != nil {
		if file.firstFailure() {
			c.log.Warn("client file missing: install the npm package socket.io-client, or set the client directory to its dist folder",
				slog.String("dir", c.dir), slog.String("file", name), slog.Any("err", err))
		}
		http.Error(w, name+" is not installed here: the server's client directory must be the dist folder of the npm package socket.io-client",
			http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	h.Set("ETag", `"`+tag+`"`) // SRV-010
	h.Set("Cache-Control", "public, max-age=0")
	if strings.HasSuffix(name, ".map") {
		h.Set("Content-Type", "application/json; charset=utf-8")
	} else {
		h.Set("Content-Type", "application/javascript; charset=utf-8")
	}
	if coding != "" {
		h.Set("ETag", `W/"`+tag+`"`)
		h.Set("Content-Encoding", coding)
		h.Set("Content-Length", strconv.Itoa(len(content)))
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}
