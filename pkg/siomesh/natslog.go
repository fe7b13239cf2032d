package siomesh

import (
	"fmt"
	"log/slog"
	"sync"
)

// natsLog takes what the embedded NATS server logs; it implements server.Logger. What the server notices while all is well
// is of interest only when looking for something.
type natsLog struct {
	log *slog.Logger
	mu  sync.Mutex
	err error // guarded by mu: the first error
}

// first returns the first error the server logged.
func (n *natsLog) first() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

func (n *natsLog) fail(format string, v []any) {
	err := fmt.Errorf(format, v...)
	n.mu.Lock()
	if n.err == nil {
		n.err = err
	}
	n.mu.Unlock()
	n.log.Error("NATS server", slog.Any("err", err))
}

// Noticef implements server.Logger.
func (n *natsLog) Noticef(format string, v ...any) { n.debug(format, v) }

// Warnf implements server.Logger.
func (n *natsLog) Warnf(format string, v ...any) {
	n.log.Warn("NATS server", slog.String("text", fmt.Sprintf(format, v...)))
}

// Fatalf implements server.Logger. The server does not end the process by itself.
func (n *natsLog) Fatalf(format string, v ...any) { n.fail(format, v) }

// Errorf implements server.Logger.
func (n *natsLog) Errorf(format string, v ...any) { n.fail(format, v) }

// Debugf implements server.Logger.
func (n *natsLog) Debugf(format string, v ...any) { n.debug(format, v) }

// Tracef implements server.Logger.
func (n *natsLog) Tracef(format string, v ...any) { n.debug(format, v) }

func (n *natsLog) debug(format string, v []any) {
	n.log.Debug("NATS server", slog.String("text", fmt.Sprintf(format, v...)))
}
