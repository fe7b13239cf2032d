// Package e2e_test runs the real programs as processes of their own, and stock clients against them: the Socket.IO client
// for Node (scenarios/, run.mjs and driver.mjs) and a browser (browser.mjs). The scenarios are the same for every shape of
// the mesh; tests that kill processes are in kill_test.go. Start reading at TestEndToEnd.
package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

const (
	clientDir = "node_modules/socket.io-client/dist"
	maxBuffer = "5000000" // a scenario sends an acknowledgement of 3 MB
	tokens    = `[{"token":"letmein","user":"ann","data":{"user":"ann"}},{"token":"other","user":"bob *"}]`
)

// TestEndToEnd builds the programs once, and then lets every shape of the mesh prove itself.
func TestEndToEnd(t *testing.T) {
	needNode(t)
	needChromium(t)
	b := build(t)
	t.Run("one process", func(t *testing.T) { oneProcess(t, b) })
	t.Run("up and an app outside", func(t *testing.T) { upAndOutside(t, b) })
	t.Run("separate processes", func(t *testing.T) { separateProcesses(t, b) })
	t.Run("clients with msgpack", func(t *testing.T) { msgpackClients(t, b) })
	t.Run("clients of 2.x", func(t *testing.T) { olderClients(t, b) })
	t.Run("any edge", func(t *testing.T) { anyEdge(t, b) })
	t.Run("edges killed mid-poll", func(t *testing.T) { edgesKilledMidPoll(t, b) })
	t.Run("restart", func(t *testing.T) { restart(t, b) })
	t.Run("no NATS", func(t *testing.T) { noNATS(t, b) })
	t.Run("edge before its app", func(t *testing.T) { edgeBeforeApp(t, b) })
	t.Run("edge killed", func(t *testing.T) { edgeKilled(t, b) })
	t.Run("app instance killed", func(t *testing.T) { appKilled(t, b) })
	t.Run("rooms killed", func(t *testing.T) { roomsKilled(t, b) })
	t.Run("rooms paused", func(t *testing.T) { roomsPaused(t, b) })
	t.Run("app paused", func(t *testing.T) { appPaused(t, b) })
	t.Run("edge paused", func(t *testing.T) { edgePaused(t, b) })
	t.Run("auth killed", func(t *testing.T) { authKilled(t, b) })
	t.Run("NATS killed", func(t *testing.T) { natsKilled(t, b) })
}

// policies are the flags of an auth service, or of a mesh with one inside.
func policies(tb testing.TB) []string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "tokens.json")
	if err := os.WriteFile(file, []byte(tokens), 0o600); err != nil {
		tb.Fatal(err)
	}
	return []string{"--policy", "/members=tokens", "--policy", "*=allow", "--tokens-file", file}
}

// oneProcess: the application and the whole mesh in one program.
func oneProcess(t *testing.T, b binaries) {
	addr := freeAddrs(t, 1)[0]
	url := "http://" + addr
	app := b.start(t, "app", "app", append(policies(t), "--listen", addr, "--max-http-buffer-size", maxBuffer)...)
	app.ready(t, url+"/socket.io/?EIO=4&transport=polling")
	runScenarios(t, url)
	t.Run("settings", func(t *testing.T) { tunedProcess(t, b) })
}

// upAndOutside: `siomesh up` with its demo, and an application that joins from outside.
func upAndOutside(t *testing.T, b binaries) {
	addrs := freeAddrs(t, 3)
	url, nats := "http://"+addrs[0], "nats://"+addrs[1]
	up := b.start(t, "up", "siomesh", append([]string{
		"up", "--listen", addrs[0], "--nats-listen", addrs[1], "--internal-listen", addrs[2],
		"--data-dir", t.TempDir(), "--client-dir", clientDir, "--max-http-buffer-size", maxBuffer,
	}, policies(t)...)...)
	up.ready(t, "http://"+addrs[2]+"/readyz")
	t.Run("chat", func(t *testing.T) { runBrowser(t, url, os.Getenv("SIOMESH_SCREENSHOT")) })

	b.start(t, "app", "app", "--nats", nats)
	newDriver(t).served(t, url, "/") // the demo has no such namespace
	runScenarios(t, url)
}

// separateProcesses: every service is a process of its own, with three edges and two instances of the application.
func separateProcesses(t *testing.T, b binaries) {
	m := b.splitWith(t, 3)
	defer m.stop(t)
	m.app(t, "one")
	m.app(t, "two")
	d := newDriver(t)
	d.owners(t, m.urls(), "one", "two")
	runScenarios(t, m.urls()...)
	t.Run("settings", func(t *testing.T) { m.tunedEdges(t) })
	t.Run("metrics", func(t *testing.T) { m.hasMetrics(t) })
	t.Run("chat with a page elsewhere", func(t *testing.T) { m.chat(t) })
}
