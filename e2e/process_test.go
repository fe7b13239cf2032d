package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/freeport"
)

const (
	startsWithin = 20 * time.Second // a loaded machine with two cores
	endsWithin   = 10 * time.Second // after SIGTERM
	logTail      = 16 << 10         // bytes of each log that a failed test shows
)

// binaries is where the programs under test were built.
type binaries struct{ dir string }

// build compiles every program the tests start. They are built without the race detector: the packages have their own
// tests for that, and these look at whole processes.
func build(tb testing.TB) binaries {
	tb.Helper()
	b := binaries{dir: tb.TempDir()}
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-o", b.dir+string(filepath.Separator),
		"github.com/siomesh/siomesh/cmd/siomesh", "github.com/siomesh/siomesh/e2e/app",
		"github.com/siomesh/siomesh/examples/chat", "github.com/nats-io/nats-server/v2")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build the programs under test: %v\n%s", err, out)
	}
	return b
}

// process is a running program. It is stopped when the test ends, and must then exit with status 0 in time.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string        // file with what it printed
	ended chan struct{} // closed when it has ended; err is valid from then on
	err   error
	gone  bool // the test killed or stopped it
}

// start runs a program of b until the test ends.
func (b binaries) start(tb testing.TB, name, program string, args ...string) *process {
	tb.Helper()
	p := &process{name: name, log: filepath.Join(tb.TempDir(), name+".log"), ended: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		tb.Fatalf("log of %s: %v", name, err)
	}
	defer func() { _ = out.Close() }() // the process has a copy of its own
	// The test's context ends before its cleanups, one of which stops the process.
	p.cmd = exec.CommandContext(context.WithoutCancel(tb.Context()), filepath.Join(b.dir, program), args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// A flag that somebody has set for all programs must not change what is tested.
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SIOMESH_") })
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", name, err)
	}
	go func() { // ends with the process, which the cleanup below waits for
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	tb.Cleanup(func() {
		tb.Helper()
		p.stop(tb)
		if tb.Failed() {
			tb.Logf("%s printed:\n%s", name, p.tail())
		}
	})
	return p
}

// stop asks the process to end, and fails the test unless it does so cleanly and in time.
func (p *process) stop(tb testing.TB) {
	tb.Helper()
	if p.gone {
		return
	}
	p.gone = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("SIGTERM to %s: %v", p.name, err)
	}
	select {
	case <-p.ended:
		if p.err != nil {
			tb.Errorf("%s ended with %v, want exit status 0", p.name, p.err)
		}
	case <-time.After(endsWithin):
		tb.Errorf("%s still runs %v after SIGTERM", p.name, endsWithin)
		p.kill(tb)
	}
}

// kill ends the process without a word.
func (p *process) kill(tb testing.TB) {
	tb.Helper()
	p.gone = true
	if err := p.cmd.Process.Kill(); err != nil {
		tb.Errorf("SIGKILL to %s: %v", p.name, err)
	}
	<-p.ended
}

// pause stops the process from running, and waits until its last thread has stopped.
func (p *process) pause(tb testing.TB) {
	tb.Helper()
	p.signal(tb, syscall.SIGSTOP)
	until(tb, answersWithin, p.name+" has stopped", func() bool {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED|syscall.WNOHANG, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			tb.Fatalf("wait until %s has stopped: %v", p.name, err)
		}
		return pid != 0 && status.Stopped()
	})
}

// resume has a paused process go on where it was.
func (p *process) resume(tb testing.TB) {
	tb.Helper()
	p.signal(tb, syscall.SIGCONT)
}

func (p *process) signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		tb.Fatalf("%v to %s: %v", s, p.name, err)
	}
}

// ready waits until url answers 200, as /readyz of a service does once it can serve.
func (p *process) ready(tb testing.TB, url string) {
	tb.Helper()
	until(tb, startsWithin, p.name+" is ready: "+url, func() bool {
		select {
		case <-p.ended:
			tb.Fatalf("%s ended while starting: %v\n%s", p.name, p.err, p.tail())
		default:
		}
		return status(tb.Context(), url) == http.StatusOK
	})
}

func (p *process) tail() []byte {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(b[max(0, len(b)-logTail):])
}

// status asks url and returns the status, 0 without an answer.
func status(ctx context.Context, url string) int {
	code, _ := get(ctx, url)
	return code
}

func get(ctx context.Context, url string) (code int, body string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	a := do(ctx, http.MethodGet, url, "")
	if a.err != nil {
		return 0, ""
	}
	return a.code, a.body
}

// answer is what became of a request.
type answer struct {
	code int
	body string
	err  error
}

// answered makes one request, with patience.
func answered(tb testing.TB, method, url, body string) answer {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), answersWithin)
	defer cancel()
	return do(ctx, method, url, body)
}

func do(ctx context.Context, method, url, body string) (a answer) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, string(text), err}
}

// until polls a condition, and fails the test if it does not hold in time.
func until(tb testing.TB, within time.Duration, what string, holds func() bool) {
	tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(within)
	for !holds() {
		select {
		case <-late:
			tb.Fatalf("not within %v: %s", within, what)
		case <-tick.C:
		}
	}
}

// freeAddrs returns addresses of the loopback interface that nobody listens on.
func freeAddrs(tb testing.TB, n int) []string {
	tb.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = freeport.Address(tb)
	}
	return addrs
}

func port(tb testing.TB, addr string) string {
	tb.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatal(err)
	}
	return port
}
