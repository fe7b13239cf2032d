// Package natstest runs NATS servers inside tests: on a free loopback port, up in milliseconds, gone with the test. Start
// at Run; a test that restarts its server uses Start.
package natstest

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const patience = 10 * time.Second

// Option changes the options of a server before its first start.
type Option func(testing.TB, *server.Options)

// JetStream turns JetStream on, with its files in a directory of the test that outlasts restarts.
func JetStream(tb testing.TB, o *server.Options) {
	tb.Helper()
	o.JetStream = true
	o.StoreDir = tb.TempDir()
}

// With lets a test set any option of the server.
func With(change func(*server.Options)) Option {
	return func(_ testing.TB, o *server.Options) { change(o) }
}

// Run starts a server that lives as long as the test and returns its URL.
func Run(tb testing.TB, options ...Option) (url string) {
	tb.Helper()
	return Start(tb, options...).URL()
}

// Server is a NATS server of a test. Its methods are for the goroutine of the test.
type Server struct {
	tb      testing.TB
	options *server.Options
	running *server.Server // nil while stopped
}

// Start starts a server that lives until the test ends or Stop.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}
	for _, option := range options {
		option(tb, o)
	}
	s := &Server{tb: tb, options: o}
	s.start()
	tb.Cleanup(s.Stop)
	return s
}

// URL is where clients connect; it stays the same across restarts.
func (s *Server) URL() string {
	if s.options.TLSConfig != nil {
		return "tls://" + s.address()
	}
	return "nats://" + s.address()
}

// Server is the running server itself, for in-process connections and statistics; nil while stopped.
func (s *Server) Server() *server.Server { return s.running }

// Stop ends the server and waits for that. A stopped server stays stopped.
func (s *Server) Stop() {
	if s.running == nil {
		return
	}
	s.running.Shutdown()
	s.running.WaitForShutdown()
	s.running = nil
}

// Restart stops the server, if it runs, and starts it again on the same port.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.start()
}

func (s *Server) start() {
	s.tb.Helper()
	for end := time.Now().Add(patience); ; { // somebody else may have the port of a restart for a moment
		running, err := server.NewServer(s.options.Clone())
		if err != nil {
			s.tb.Fatalf("make NATS server: %v", err)
		}
		running.Start()
		if running.ReadyForConnections(time.Second) {
			s.running = running
			s.options.Port = port(running)
			return
		}
		running.Shutdown()
		running.WaitForShutdown()
		if time.Now().After(end) {
			s.tb.Fatalf("NATS server at %s not ready in %v", s.address(), patience)
		}
	}
}

func (s *Server) address() string {
	return net.JoinHostPort(s.options.Host, strconv.Itoa(s.options.Port))
}

// port is the one the server took, so that a restart takes it again.
func port(s *server.Server) int {
	if address, ok := s.Addr().(*net.TCPAddr); ok {
		return address.Port
	}
	return 0
}
