package edge

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/rs/cors"
)

// clientFileNames are the files of the npm package socket.io-client that the reference server offers beside its endpoint,
// each with its map (SRV-008).
func isClientFile(endpoint, requested string) bool {
	name, ok := strings.CutPrefix(requested, strings.TrimSuffix(endpoint, "/")+"/")
	if !ok {
		return false
	}
	switch strings.TrimSuffix(name, ".map") {
	case "socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js", "socket.io.esm.min.js":
		return true
	}
	return false
}

// clientFiles serves the files of a directory that come from npm and are never part of this program.
func clientFiles(endpoint, dir string, origins *cors.Options, log *slog.Logger) http.Handler {
	files := os.DirFS(dir)
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		if _, err := fs.Stat(files, name); errors.Is(err, fs.ErrNotExist) {
			log.Warn("client file missing: install the npm package socket.io-client, or set the client directory to its dist folder",
				slog.String("dir", dir), slog.String("file", name))
			http.Error(w, name+" is not installed here: the server's client directory must be the dist folder of the npm package socket.io-client",
				http.StatusNotFound)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=0")
		if strings.HasSuffix(name, ".map") {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
		} else {
			w.Header().Set("Content-Type", "application/javascript; charset=utf-8")
		}
		http.ServeFileFS(w, r, files, name)
	})
	if origins != nil {
		h = cors.New(*origins).Handler(h)
	}
	return h
}
