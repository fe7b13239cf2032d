package e2e_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// apiTimeout ends an acknowledgement that does not come, long before the 5 s after which the examples believe that nobody answers.
const apiTimeout = "2500ms"

// TestAPIExamples: the programs of examples/ that emit from anywhere, against `siomesh up` and `siomesh api`, with a stock client
// that receives.
func TestAPIExamples(t *testing.T) {
	needNode(t)
	b := binaries{dir: t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", b.dir, "github.com/siomesh/siomesh/cmd/siomesh").CombinedOutput(); err != nil {
		t.Fatalf("build siomesh: %v\n%s", err, out)
	}
	addrs := freeAddrs(t, 4)
	url, nats := "http://"+addrs[0], "nats://"+addrs[1]
	up := b.start(t, "up", "siomesh", "up", "--listen", addrs[0], "--nats-listen", addrs[1], "--internal-listen", addrs[2],
		"--data-dir", t.TempDir(), "--client-dir", clientDir, "--api-timeout", apiTimeout)
	up.ready(t, "http://"+addrs[2]+"/readyz")
	d := newDriver(t)
	from := d.now()
	d.order(t, map[string]any{"op": "open", "client": "a", "url": url, "namespace": "/chat", "options": map[string]any{
		"auth": map[string]any{"name": "Ann", "key": "0123456789abcdef"},
	}})
	id := d.connected(t, "a", from)
	node := func(args ...string) (string, error) {
		return program(t, nodeExample(t, "api-node"), "node", append([]string{"announce.js", "--nats", nats, "--namespace", "/chat"}, args...)...)
	}
	shell := func(args ...string) (string, error) {
		return program(t, filepath.Join("..", "examples", "api-shell"), "bash", append([]string{"announce.sh", "--nats", nats, "--namespace", "/chat"}, args...)...)
	}
	hears := func(from int, args ...any) {
		t.Helper()
		d.wait(t, from, "the announcement", func(h heard) bool { return h.is("a", "announcement", args...) })
	}
	all := func() {
		t.Helper()
		const hello = "Grüße, \"you\" \\ all\n\t🙂"
		for name, run := range map[string]func(...string) (string, error){"node": node, "shell": shell} {
			from := d.now()
			if out, err := run(hello); err != nil || out != "announced to 1 clients\n" {
				t.Errorf("%s: got %q, %v", name, out, err)
			}
			hears(from, hello)
		}
	}
	all()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte{0xff, 1}, 0o600); err != nil {
		t.Fatal(err)
	}
	from = d.now()
	if out, err := node("--room", id, "--file", file, "look"); err != nil || out != "announced to 1 clients\n" {
		t.Errorf("a room: got %q, %v", out, err)
	}
	hears(from, "look", json.RawMessage(`{"name":"file","data":{"type":"Buffer","data":[255,1]}}`))
	if out, err := node("--room", "nobody", "--ack", "hello?"); err != nil || out != "announced to 0 clients\n" {
		t.Errorf("nobody: got %q, %v", out, err)
	}
	if out, err := node("--ack", "silence"); err != nil || out != "announced to 1 clients\n" {
		t.Errorf("silence: got %q, %v", out, err)
	}

	alone := b.start(t, "api", "siomesh", "api", "--nats", nats, "--internal-listen", addrs[3], "--api-timeout", apiTimeout)
	alone.ready(t, "http://"+addrs[3]+"/readyz")
	for range 3 { // whichever of the two answers
		all()
	}
	up.stop(t)
	if out, err := node("gone"); err == nil {
		t.Errorf("without a mesh: got %q", out)
	}
}

// program runs a program to its end and returns what it printed.
func program(tb testing.TB, dir, name string, args ...string) (string, error) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		tb.Logf("%s %s: %s", name, strings.Join(args, " "), failed.Stderr)
	}
	return string(out), err
}

// nodeExample returns the directory of an example, with what it needs from npm; `make test` has installed that before.
func nodeExample(tb testing.TB, name string) string {
	tb.Helper()
	dir := filepath.Join("..", "examples", name)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "nats")); errors.Is(err, fs.ErrNotExist) {
		if out, err := program(tb, dir, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
			tb.Fatalf("npm ci in %s: %v\n%s", dir, err, out)
		}
	}
	return dir
}
