package edge

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
)

// clientFile is one file of the browser client. What was read and compressed is kept, in each coding that was asked for, and
// read again when the file or the package changes.
type clientFile struct {
	dir, name string

	mu       sync.Mutex
	file     stamp             // this and all below guarded by mu: of what is in contents
	manifest stamp             // of the package.json that tag is from
	tag      string            // names the content: the version of the package, or a digest
	contents map[string][]byte // by coding; "" is the file as it is; nil: not read
	failing  bool              // it could not be read the last time, and that was told
}

// stamp tells whether a file has changed; the zero value is that of none.
type stamp struct {
	modified time.Time
	size     int64
}

// maxClientFile is how large a client file may be in bytes; the real ones have 310 000 at most.
const maxClientFile = 16 << 20

// read returns the file in a coding, which is the caller's to read only, and its tag.
func (f *clientFile) read(coding string) (content []byte, tag string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := stampOf(f.path())
	if err != nil {
		f.contents = nil
		return nil, "", err
	}
	manifest, _ := stampOf(f.manifestPath()) // there need not be one
	if f.contents == nil || now != f.file || manifest != f.manifest {
		if err := f.load(now, manifest); err != nil {
			f.contents = nil
			return nil, "", err
		}
	}
	f.failing = false
	content, ok := f.contents[coding]
	if !ok {
		if content, err = compress(f.contents[""], coding); err != nil {
			return nil, "", err
		}
		f.contents[coding] = content
	}
	return content, f.tag, nil
}

// firstFailure reports whether read has failed for the first time in a row.
func (f *clientFile) firstFailure() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.failing
	f.failing = true
	return first
}

func (f *clientFile) path() string         { return filepath.Join(f.dir, f.name) }
func (f *clientFile) manifestPath() string { return filepath.Join(f.dir, "..", "package.json") }

// load reads the file and finds its tag; mu is held.
func (f *clientFile) load(file, manifest stamp) error {
	content, err := os.ReadFile(f.path())
	if err != nil {
		return err
	}
	f.file, f.manifest, f.contents = file, manifest, map[string][]byte{"": content}
	version, err := packageVersion(f.manifestPath(), manifest)
	if err != nil { // not the package from npm, so that no version can name the content
		sum := sha256.Sum256(content)
		version = hex.EncodeToString(sum[:8])
	}
	f.tag = version
	return nil
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return stamp{}, err
	case !info.Mode().IsRegular():
		return stamp{}, fmt.Errorf("%s is no regular file", path)
	case info.Size() > maxClientFile:
		return stamp{}, fmt.Errorf("%s has more than %d bytes", path, maxClientFile)
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

// packageVersion returns the version in the package.json of socket.io-client.
func packageVersion(path string, found stamp) (string, error) {
	if found == (stamp{}) {
		return "", fmt.Errorf("%s cannot be read", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var manifest struct{ Name, Version string }
	if err := json.Unmarshal(data, &manifest); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if manifest.Name != "socket.io-client" {
		return "", fmt.Errorf("%s is that of %.40q", path, manifest.Name)
	}
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-"
	if v := manifest.Version; v == "" || len(v) > 64 || strings.ContainsFunc(v, func(r rune) bool { return !strings.ContainsRune(allowed, r) }) {
		return "", fmt.Errorf("%s has the version %.40q", path, v)
	}
	return manifest.Version, nil
}

// compress encodes a file. The levels are those that make a file of 300 kB in less than a tenth of a second.
func compress(content []byte, coding string) ([]byte, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case codingBrotli:
		w = brotli.NewWriterLevel(&out, 7)
	case codingGzip:
		w = gzip.NewWriter(&out)
	default:
		return nil, fmt.Errorf("no coding is called %q", coding)
	}
	_, err := w.Write(content)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return out.Bytes(), nil
}
