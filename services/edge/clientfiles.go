package edge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
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
	switch strings.TrimSuffix(name, ".map") {
	case "socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js", "socket.io.esm.min.js":
		return true
	}
	return false
}

// clientFiles serves the files of a directory that come from npm and are never part of this program.
func clientFiles(dir string, origins *cors.Options, log *slog.Logger) http.Handler {
	files := os.DirFS(dir)
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		content, err := fs.ReadFile(files, name)
		if err != nil {
			log.Warn("client file missing: install the npm package socket.io-client, or set the client directory to its dist folder",
				slog.String("dir", dir), slog.String("file", name), slog.Any("err", err))
			http.Error(w, name+" is not installed here: the server's client directory must be the dist folder of the npm package socket.io-client",
				http.StatusNotFound)
			return
		}
		sum := sha256.Sum256(content)
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`) // SRV-010
		w.Header().Set("Cache-Control", "public, max-age=0")
		if strings.HasSuffix(name, ".map") {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
		} else {
			w.Header().Set("Content-Type", "application/javascript; charset=utf-8")
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
	if origins != nil {
		h = cors.New(*origins).Handler(h)
	}
	return h
}
