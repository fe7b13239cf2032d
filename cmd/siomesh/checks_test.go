package main

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMistakes: each is told in one line, which names the flag and what it takes; status 2 is kong's.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list.json")
	if err := os.WriteFile(list, []byte(`[{"token":7}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := filepath.Join(dir, "settings.yaml")
	if err := os.WriteFile(yaml, []byte("transports: [polling, ws]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const array = `want a JSON array of objects, such as [{"token":"s3cret","user":"ann"}]`
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"edge", "--transports=ws"}, 2, `--transports must be one of "polling","websocket" but got "ws"`},
		{[]string{"up", "--transports=polling,ws"}, 2, `--transports must be one of "polling","websocket" but got "ws"`},
		{[]string{"edge", "--config", yaml}, 2, `--transports must be one of "polling","websocket" but got "ws"`},
		{[]string{"edge", "--transports="}, 1, "edge: --transports: want polling, websocket or both"},
		{[]string{"auth", "--policy=*=tokens", "--tokens={}"}, 1, "--tokens: " + array},
		{[]string{"auth", "--policy=*=tokens", "--tokens=hush"}, 1, "--tokens: " + array},
		{[]string{"up", "--policy=*=tokens", `--tokens=[{"token":"hush"}`}, 1, "--tokens: " + array},
		{[]string{"up", "--handshake-policy=tokens", `--tokens= `}, 1, "--tokens: " + array},
		{[]string{"auth", "--policy=*=tokens", "--tokens-file", list}, 1, `--tokens-file "` + list + `": ` + array},
		{[]string{"edge", "--cors-origin=example.com"}, 1, `edge: --cors-origin "example.com" matches no page: want * for all, or scheme://host[:port] without a path, such as https://example.com or https://*.example.com`},
		{[]string{"up", "--cors-origin=*", "--cors-origin=http://x/"}, 1, `--cors-origin "http://x/" matches no page: want * for all, or scheme://host[:port] without a path, such as https://example.com or https://*.example.com`},
	} {
		var stdout, stderr bytes.Buffer
		status := execute(append(tt.args, "--check"), &stdout, &stderr)
		if got, want := stderr.String(), "siomesh: "+tt.want+"\n"; status != tt.status || got != want {
			t.Errorf("%q:\n got %d %s\nwant %d %s", tt.args, status, got, tt.status, want)
		}
	}
}

// TestOrigins: what is refused is what can match no page, and no more.
func TestOrigins(t *testing.T) {
	for origin, want := range map[string]bool{
		"*": true, "null": true, "": true, "file://": true, "https://example.com": true, "HTTP://Example.com:8080": true, "http://[::1]:3000": true,
		"capacitor://localhost": true, "chrome-extension://abc": true, "https://*.example.com": true, "*.example.com": true, "*example.com": true,
		"http://localhost:*": true, "*://localhost": true, "http*://localhost:3000": true, "https://*": true, "http*": true,

		"example.com": false, "localhost:3000": false, "//example.com": false, "://x": false, "https://": false, "https://:3000": false,
		"https://example.com/": false, "https://example.com/app": false, "https://example.com?x": false, "https://me@example.com": false,
		"https://a.example,https://b.example": false, "https://a.example https://b.example": false, "http://x:port": false,
		"https://*.*.example.com": false, "https://*.example.com/": false, "https://example.com/*": false, "example.*": false, "localhost:*": false,
		"://*": false, "https://*/app": false,
	} {
		if got := checkOrigins([]string{origin}) == nil; got != want {
			t.Errorf("%q: taken = %v, want %v", origin, got, want)
		}
	}
}

// TestClientDirIsThere: a directory that was asked for must be there when the server starts, and is missed before anybody can
// connect.
func TestClientDirIsThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0") // an error of it would come with listening
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const want = "want the dist folder of the npm package socket.io-client, or --no-serve-client"
	for _, tt := range []struct{ dir, more, want string }{
		{file + ".no", "", "--client-dir: stat " + file + ".no: no such file or directory: " + want},
		{file, "", `--client-dir "` + file + `" is no directory: ` + want},
		{file, "--no-serve-client", "--listen: "},
		{filepath.Dir(file), "", "--listen: "},
		{defaultClientDir, "", "--listen: "}, // which is not there
	} {
		args := []string{"--listen", taken.Addr().String(), "--internal-listen=127.0.0.1:0", "--client-dir", tt.dir}
		args = append(args, strings.Fields(tt.more)...)
		log := slog.New(slog.DiscardHandler)
		if err := parse(t, "edge", args).Edge.run(t.Context(), log); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("edge %s: got %v, want %s", tt.dir, err, tt.want)
		}
		if err := parse(t, "up", args).Up.run(t.Context(), log); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("up %s: got %v, want %s", tt.dir, err, tt.want)
		}
	}
	if got := parse(t, "edge", nil).Edge.ClientDir; got != defaultClientDir {
		t.Errorf("--client-dir is %s by default, want %s", got, defaultClientDir)
	}
}
