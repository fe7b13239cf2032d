package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// readHAProxy returns the lines of haproxy.cfg, as words, by section ("backend edges").
func readHAProxy(tb testing.TB) map[string][][]string {
	tb.Helper()
	text, err := os.ReadFile("haproxy.cfg")
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string][][]string{}
	section := ""
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case line[0] != ' ':
			section = strings.Join(words, " ")
		default:
			out[section] = append(out[section], words)
		}
	}
	return out
}

// setting returns the words that follow the given ones in a section.
func setting(tb testing.TB, section [][]string, words ...string) []string {
	tb.Helper()
	for _, line := range section {
		if len(line) > len(words) && slices.Equal(line[:len(words)], words) {
			return line[len(words):]
		}
	}
	tb.Fatalf("no %q in %q", words, section)
	return nil
}

// TestBalancer checks that compose.yaml and haproxy.cfg speak of the same ports, and that no client is bound to an edge.
func TestBalancer(t *testing.T) {
	project, cfg := loadCompose(t), readHAProxy(t)
	edge, chat, balancer := project.Services["edge"], project.Services["chat"], project.Services["balancer"]

	if got := setting(t, cfg["backend edges"], "balance"); !slices.Equal(got, []string{"roundrobin"}) {
		t.Errorf("balance %s: any edge serves any request", got)
	}
	for section, lines := range cfg {
		for _, line := range lines {
			if line[0] == "cookie" || line[0] == "stick" || line[0] == "stick-table" {
				t.Errorf("%s: %q binds clients to an edge", section, line)
			}
		}
	}
	if got, want := setting(t, cfg["frontend clients"], "use_backend", "edges"), "if { path_beg /socket.io/ }"; strings.Join(got, " ") != want {
		t.Errorf("clients go to the edges %q, want %q", got, want)
	}
	if got, want := setting(t, cfg["frontend clients"], "default_backend")[0], "pages"; got != want {
		t.Errorf("everything else goes to %q, want %q", got, want)
	}
	pages := setting(t, cfg["backend pages"], "server-template", "chat")
	if got, want := pages[1], fmt.Sprintf("chat:%d", port(t, flagValue(t, chat.Command, "--page-listen"))); got != want {
		t.Errorf("the page comes from %s, want %s", got, want)
	}
	servers := setting(t, cfg["backend edges"], "server-template", "edge")
	if got, want := servers[1], fmt.Sprintf("edge:%d", port(t, flagValue(t, edge.Command, "--listen"))); got != want {
		t.Errorf("the balancer connects to %s, want %s", got, want)
	}
	checked := setting(t, cfg["backend edges"], "default-server", "check", "port")
	if got, want := checked[0], fmt.Sprint(port(t, flagValue(t, edge.Command, "--internal-listen"))); got != want {
		t.Errorf("the balancer checks port %s, the edge answers /readyz on %s", got, want)
	}
	if got := setting(t, cfg["backend edges"], "option", "httpchk"); !slices.Equal(got, []string{"GET", "/readyz"}) {
		t.Errorf("the balancer asks %q", got)
	}
	if resolvers := checked[slices.Index(checked, "resolvers")+1]; len(cfg["resolvers "+resolvers]) == 0 {
		t.Errorf("no section resolvers %s", resolvers)
	}

	bound := port(t, setting(t, cfg["frontend clients"], "bind")[0])
	if len(balancer.Ports) != 1 || int(balancer.Ports[0].Target) != bound || balancer.Ports[0].Published != "3000" {
		t.Errorf("published %+v, want 3000 to the balancer's port %d", balancer.Ports, bound)
	}
	if len(balancer.Volumes) != 1 || filepath.Base(balancer.Volumes[0].Source) != "haproxy.cfg" {
		t.Fatalf("volumes %+v, want haproxy.cfg", balancer.Volumes)
	}
	if _, err := os.Stat(balancer.Volumes[0].Source); err != nil {
		t.Error(err)
	}
}

// TestBalancerPatience checks that the balancer waits longer than a quiet client is silent: one heartbeat, and the time
// allowed to answer it.
func TestBalancerPatience(t *testing.T) {
	const heartbeat = 25*time.Second + 20*time.Second // pingInterval and pingTimeout
	defaults := readHAProxy(t)["defaults"]
	for _, side := range []string{"client", "server", "tunnel"} {
		d, err := time.ParseDuration(setting(t, defaults, "timeout", side)[0])
		if err != nil || d <= heartbeat {
			t.Errorf("timeout %s %v (%v), want more than %v", side, d, err, heartbeat)
		}
	}
}
