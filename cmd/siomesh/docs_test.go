package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/siomesh/siomesh/services/edge"
)

// TestEdgePage: the settings, counters and tests that docs/edge.md names are there, and its example is the one that runs.
func TestEdgePage(t *testing.T) {
	page := readFile(t, "../../docs/edge.md")
	metrics, tests, flags := metricNames(), testNames(t), edgeFlags(t)
	rows := 0
	_, table, _ := strings.Cut(page, "## Refusals and limits")
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || strings.Contains(line, "---") || strings.Contains(line, "| setting |") {
			continue
		}
		rows++
		for _, name := range quoted(cells[1]) {
			if name == strings.ToLower(name) && name != "expires_at" && !slices.Contains(flags, name) {
				t.Errorf("%s: there is no --%s", cells[0], name)
			}
		}
		counters, shown := quoted(cells[3]), quoted(cells[4])
		if len(counters) == 0 && !strings.Contains(cells[3], "that of the answer") || len(shown) == 0 {
			t.Errorf("%s: no counter, or no test", cells[0])
		}
		for _, name := range counters {
			if !slices.Contains(metrics, name) {
				t.Errorf("%s: there is no counter %s", cells[0], name)
			}
		}
		for _, name := range shown {
			if !slices.Contains(tests, name) {
				t.Errorf("%s: there is no %s", cells[0], name)
			}
		}
	}
	if rows < 40 {
		t.Errorf("the table has %d rows", rows)
	}
	_, code, _ := strings.Cut(page, "```go\n")
	code, _, _ = strings.Cut(code, "```")
	example := readFile(t, "../../pkg/siomesh/example_hooks_test.go")
	lines := strings.Split(strings.TrimSpace(code), "\n")
	for _, line := range lines[1 : len(lines)-1] {
		if !strings.Contains(example, strings.TrimSpace(line)) {
			t.Errorf("not in the example: %s", line)
		}
	}
}

// TestShellHelp: the example in bash says how it is called, and needs no server for that.
func TestShellHelp(t *testing.T) {
	for _, flag := range []string{"-h", "--help"} {
		out, err := exec.CommandContext(t.Context(), "bash", "../../examples/api-shell/announce.sh", flag).CombinedOutput()
		const usage = "\nannounce.sh [--nats nats://127.0.0.1:4222] [--namespace /] TEXT\n"
		if err != nil || !strings.Contains(string(out), usage) || strings.Contains(string(out), "pipefail") {
			t.Errorf("%s: got %v\n%s\nwant %s", flag, err, out, usage)
		}
	}
}

func readFile(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// quoted returns what stands between backquotes.
func quoted(text string) (names []string) {
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			names = append(names, part)
		}
	}
	return names
}

// metricNames are the metrics of an edge, with their labels.
func metricNames() (names []string) {
	for _, m := range append((&edge.Metrics{}).Telemetry(), (&clientListener{}).telemetry()...) {
		name := m.Name
		for label, value := range m.Labels { // one at most
			name += "{" + label + `="` + value + `"}`
		}
		names = append(names, name)
	}
	return names
}

// testNames are the tests of the packages that clients meet, and of the streams between edges.
func testNames(tb testing.TB) (names []string) {
	tb.Helper()
	test := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, dir := range []string{"cmd/siomesh", "services/edge", "services/edge/relay", "pkg/engine", "pkg/protocol", "internal/mesh/tunnel"} {
		files, err := filepath.Glob("../../" + dir + "/*_test.go")
		if err != nil || len(files) == 0 {
			tb.Fatalf("tests of %s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			for _, found := range test.FindAllStringSubmatch(readFile(tb, file), -1) {
				names = append(names, found[1])
			}
		}
	}
	return names
}

func edgeFlags(tb testing.TB) (names []string) {
	tb.Helper()
	var c cli
	parser, err := kong.New(&c, kong.DefaultEnvars("SIOMESH"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range flagsOf(parser.Model.Node) {
		names = append(names, f.Name)
	}
	return names
}
