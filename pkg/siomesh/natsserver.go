package siomesh

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsStart bounds the start of the embedded server.
const natsStart = 10 * time.Second

// natsServer is the embedded NATS server, there for services outside this process and for JetStream.
type natsServer struct {
	*server.Server
	scratch string // directory to remove at the end, "" if the data is to stay
}

// startNATS starts a server that listens on addr (host:port) and keeps its data in dir, or in a directory of its own that is
// removed at the end.
func startNATS(addr, dir string, log *slog.Logger) (*natsServer, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("NATS address: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("NATS address: port %q is no number", portText)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	n := &natsServer{}
	if dir == "" {
		if n.scratch, err = os.MkdirTemp("", "siomesh-"); err != nil {
			return nil, fmt.Errorf("NATS data: %w", err)
		}
		dir = n.scratch
	}
	n.Server, err = server.NewServer(&server.Options{
		ServerName: "siomesh", Host: host, Port: port,
		JetStream: true, StoreDir: dir,
		NoSigs: true, MaxPending: 256 << 20, WriteDeadline: 5 * time.Second,
		PingInterval: 5 * time.Second, MaxPingsOut: 2,
	})
	if err != nil {
		n.removeScratch(log)
		return nil, fmt.Errorf("configure NATS: %w", err)
	}
	failures := &natsLog{log: log}
	n.SetLoggerV2(failures, false, false, false)
	n.Start()
	if !n.ReadyForConnections(natsStart) {
		n.stop(log)
		return nil, fmt.Errorf("start NATS on %s: %w", addr, errors.Join(errNotReady, failures.first()))
	}
	return n, nil
}

var errNotReady = errors.New("not ready in time")

// stop ends the server and removes its data unless it is to stay.
func (n *natsServer) stop(log *slog.Logger) {
	n.Shutdown()
	n.WaitForShutdown()
	n.removeScratch(log)
}

func (n *natsServer) removeScratch(log *slog.Logger) {
	if n.scratch == "" {
		return
	}
	if err := os.RemoveAll(n.scratch); err != nil {
		log.Warn("NATS data not removed", slog.Any("err", err))
	}
}
