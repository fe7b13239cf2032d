package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// needNode makes sure that the Node programs of this folder can run; `make test` has installed their packages before.
func needNode(tb testing.TB) {
	tb.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			tb.Fatal("missing: Node 20 or later, with npm: https://nodejs.org/en/download")
		}
	}
	missing := false
	for _, name := range []string{"engine.io-client", "socket.io-client", "socket.io-client-v2", "socket.io-msgpack-parser"} {
		_, err := os.Stat("node_modules/" + name + "/package.json")
		missing = missing || errors.Is(err, fs.ErrNotExist)
	}
	if !missing {
		return
	}
	cmd := exec.CommandContext(tb.Context(), "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("npm ci in e2e: %v\n%s", err, out)
	}
}

// needChromium finds the browser as scripts/check-tools does.
func needChromium(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Fatal("missing: Chromium or Chrome: apt-get install chromium, or set CHROMIUM to the path of one")
	return ""
}

// outcome is the line a Node program prints for each of its scenarios.
type outcome struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	MS    int    `json:"ms"`
	Error string `json:"error"`
}

// runNode makes a subtest of every scenario that a Node program reports, and returns how many there were.
func runNode(t *testing.T, args ...string) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start node: %v", err)
	}
	n, failed := 0, false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var o outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Errorf("node %s printed %q", args[0], lines.Text())
			continue
		}
		n++
		failed = failed || !o.OK
		t.Run(o.Name, func(t *testing.T) {
			if !o.OK {
				t.Errorf("after %d ms: %s", o.MS, o.Error)
			}
		})
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil && !failed {
		t.Errorf("node %s: %v\n%s", args[0], err, stderr.Bytes())
	}
	return n
}

// runScenarios plays the whole table against the edges.
func runScenarios(t *testing.T, urls ...string) {
	t.Helper()
	runScenariosWith(t, nil, urls...)
}

// runScenariosWith is runScenarios for the part of the table that these flags of run.mjs choose.
func runScenariosWith(t *testing.T, flags []string, urls ...string) {
	t.Helper()
	args := append([]string{"run.mjs"}, flags...)
	list, err := exec.CommandContext(t.Context(), "node", append(args, "--list")...).Output()
	if err != nil {
		t.Fatalf("list the scenarios: %v", err)
	}
	want := strings.Count(string(list), "\n")
	if got := runNode(t, append(args, "--urls", strings.Join(urls, ","))...); got != want || want == 0 {
		t.Errorf("%d scenarios reported, want %d", got, want)
	}
}

// runBrowser lets several people use the chat page at url. The picture they end with goes to a file, if one is named.
func runBrowser(t *testing.T, url, picture string) {
	t.Helper()
	args := []string{"browser.mjs", "--url", url, "--chromium", needChromium(t)}
	if picture != "" {
		args = append(args, "--screenshot", picture)
	}
	if got := runNode(t, args...); got == 0 {
		t.Error("the browser test reported nothing")
	}
}
