// Package deploy holds the configuration of what runs beside siomesh, and the tests of the image and of compose.yaml.
package deploy

import (
	"bytes"
	"context"
	"debug/elf"
	"flag"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"
)

// loadCompose reads compose.yaml as docker compose does, schema and references checked.
func loadCompose(tb testing.TB) *types.Project {
	tb.Helper()
	opts, err := cli.NewProjectOptions([]string{filepath.Join(root, "compose.yaml")})
	if err != nil {
		tb.Fatal(err)
	}
	project, err := opts.LoadProject(tb.Context())
	if err != nil {
		tb.Fatalf("load compose.yaml: %v", err)
	}
	return project
}

// ours returns the services that run this repository's image, by name.
func ours(tb testing.TB, project *types.Project) map[string]types.ServiceConfig {
	tb.Helper()
	out := map[string]types.ServiceConfig{}
	for name, s := range project.Services {
		if s.Build != nil {
			out[name] = s
		}
	}
	for _, name := range []string{"edge", "rooms", "auth", "chat"} {
		if _, ok := out[name]; !ok {
			tb.Fatalf("compose.yaml has no service %s built from this repository", name)
		}
	}
	return out
}

// flagValue returns the value of a flag in a command line.
func flagValue(tb testing.TB, args []string, name string) string {
	tb.Helper()
	i := slices.Index(args, name)
	if i < 0 || i+1 == len(args) {
		tb.Fatalf("no %s in %q", name, args)
	}
	return args[i+1]
}

// port returns the port of a listen address.
func port(tb testing.TB, addr string) int {
	tb.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		tb.Fatalf("port of %q: %v", addr, err)
	}
	return n
}

// TestImage builds what the Dockerfile builds, and gives every service's command line to the program it starts.
func TestImage(t *testing.T) {
	img := buildImage(t)
	t.Run("not root", func(t *testing.T) {
		uid, _, _ := strings.Cut(img.user, ":")
		if n, err := strconv.Atoi(uid); err != nil || n == 0 {
			t.Errorf("USER %q, want a number other than 0", img.user)
		}
	})
	t.Run("content", func(t *testing.T) {
		for _, c := range img.copies {
			if _, err := os.Stat(c.host); err != nil {
				t.Errorf("%s: %v (`make npm` installs packages)", c.in, err)
			}
		}
		for _, e := range img.hostEnv() {
			if _, path, _ := strings.Cut(e, "="); filepath.IsAbs(path) && img.hostPath(path) == path {
				if _, err := os.Stat(path); err != nil {
					t.Errorf("the image has %s, but not that path: %v", e, err)
				}
			}
		}
	})
	t.Run("static", func(t *testing.T) {
		binaries, err := filepath.Glob(img.hostPath("/usr/local/bin") + "/*")
		if err != nil || len(binaries) == 0 {
			t.Fatalf("binaries %q, %v", binaries, err)
		}
		for _, path := range binaries {
			wantStatic(t, path)
		}
	})
	for name, s := range ours(t, loadCompose(t)) {
		t.Run("check "+name, func(t *testing.T) {
			entrypoint := img.entrypoint
			if len(s.Entrypoint) > 0 {
				entrypoint = s.Entrypoint
			}
			line := slices.Concat(entrypoint, s.Command)
			line[0] = img.hostPath(line[0])
			if out, err := runCheck(t, img, line); err != nil || strings.TrimSpace(out) == "" {
				t.Errorf("%q --check: want what would run, got %v\n%s", line, err, out)
			}
			// Were --check to look at nothing, this would pass, too.
			if out, err := runCheck(t, img, append(line, "--no-such-flag")); err == nil {
				t.Errorf("%q --no-such-flag --check was accepted\n%s", line, out)
			}
		})
	}
}

// runCheck runs a command line with --check and the image's environment.
func runCheck(tb testing.TB, img image, line []string) (string, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	args := append(slices.Clone(line[1:]), "--check")
	cmd := exec.CommandContext(ctx, line[0], args...)
	cmd.Env = img.hostEnv()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// wantStatic fails the test if a program asks for a dynamic linker.
func wantStatic(tb testing.TB, path string) {
	tb.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			tb.Errorf("%s is dynamically linked", filepath.Base(path))
		}
	}
}

// TestComposeServices checks what the services expect of one another.
func TestComposeServices(t *testing.T) {
	project := loadCompose(t)
	broker := natsOptions(t, project)
	for name, s := range ours(t, project) {
		if dep, ok := s.DependsOn["nats"]; !ok || dep.Condition != types.ServiceConditionHealthy {
			t.Errorf("%s does not wait for nats to be healthy: %+v", name, s.DependsOn)
		}
		u, err := url.Parse(flagValue(t, s.Command, "--nats"))
		if err != nil || u.Hostname() != "nats" || u.Port() != strconv.Itoa(broker.Port) {
			t.Errorf("%s connects to %v (%v), but nats listens on port %d", name, u, err, broker.Port)
		}
		if len(s.Ports) > 0 || s.ContainerName != "" {
			t.Errorf("%s cannot be scaled: ports %v, container name %q", name, s.Ports, s.ContainerName)
		}
	}
}

// natsOptions reads the broker's command line as the server does.
func natsOptions(tb testing.TB, project *types.Project) *server.Options {
	tb.Helper()
	s := project.Services["nats"]
	fs := flag.NewFlagSet("nats-server", flag.ContinueOnError)
	opts, err := server.ConfigureOptions(fs, s.Command, func() {}, func() {}, func() {})
	if err != nil {
		tb.Fatalf("nats %q: %v", s.Command, err)
	}
	if opts.Port == 0 {
		opts.Port = server.DEFAULT_PORT
	}
	return opts
}

// TestComposeBroker checks that the broker keeps its streams and that its health check asks the port it serves.
func TestComposeBroker(t *testing.T) {
	project := loadCompose(t)
	opts, s := natsOptions(t, project), project.Services["nats"]
	if !opts.JetStream {
		t.Error("nats runs without JetStream")
	}
	kept := func(v types.ServiceVolumeConfig) bool {
		return v.Type == types.VolumeTypeVolume && v.Target == opts.StoreDir
	}
	if !slices.ContainsFunc(s.Volumes, kept) {
		t.Errorf("no volume at the store directory %q: %+v", opts.StoreDir, s.Volumes)
	}
	if s.HealthCheck == nil {
		t.Fatal("nats has no health check")
	}
	check, err := url.Parse(s.HealthCheck.Test[len(s.HealthCheck.Test)-1])
	if err != nil || check.Port() != strconv.Itoa(opts.HTTPPort) {
		t.Errorf("the health check asks %v (%v), nats serves port %d", check, err, opts.HTTPPort)
	}
}
