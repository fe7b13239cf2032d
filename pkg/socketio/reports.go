package socketio

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
)

// reports brings errors to the OnError handlers, one at a time, on a goroutine of their own.
type reports struct {
	log   *slog.Logger
	queue chan error

	mu       sync.Mutex
	handlers []func(error) // guarded by mu
}

const maxReports = 256

func newReports(log *slog.Logger) *reports {
	return &reports{log: log, queue: make(chan error, maxReports)}
}

func (r *reports) handle(f func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers = append(r.handlers, f)
}

// put never blocks: while too many wait, an error is only logged.
func (r *reports) put(err error) {
	select {
	case r.queue <- err:
	default:
		r.log.Error("an error was not reported, too many are waiting", slog.Any("err", err))
	}
}

// run reports until ctx ends, then what is left.
func (r *reports) run(ctx context.Context) {
	for {
		select {
		case err := <-r.queue:
			r.tell(err)
		case <-ctx.Done():
			for {
				select {
				case err := <-r.queue:
					r.tell(err)
				default:
					return
				}
			}
		}
	}
}

func (r *reports) tell(err error) {
	r.mu.Lock()
	handlers := r.handlers
	r.mu.Unlock()
	if len(handlers) == 0 {
		r.log.Error("unhandled error", slog.Any("err", err))
	}
	for _, f := range handlers {
		if failure := guard(func() error { f(err); return nil }); failure != nil {
			r.log.Error("an OnError handler failed", slog.Any("err", failure))
		}
	}
}

// guard runs code of the application and turns its panic into an error. An error whose methods panic, such as a nil pointer
// of its type, is the same: whoever gets the result may ask it.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	if err = f(); err != nil {
		_, _ = err.Error(), errors.Is(err, ErrDisconnected)
	}
	return err
}
