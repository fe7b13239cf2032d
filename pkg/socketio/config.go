package socketio

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
)

// Config holds what an application chooses. Only App must be set.
type Config struct {
	// App names the application, 1 to 32 of a-z, 0-9 and -. Instances of one application share the name.
	App string
	// Prefix is the first token of the mesh's NATS subjects; "sio" if empty.
	Prefix string
	// Log gets errors that no OnError handler takes, and what operators should know, such as the beginning and the end of
	// Run; slog.Default() if nil.
	Log *slog.Logger

	// EmitTimeout bounds how long Emit, Join and the like wait for room in a window or for an owner; 5 s if 0. It also
	// bounds queries whose context has no deadline.
	EmitTimeout time.Duration
	// OperationWindow is how many bytes of operations per partition may be unconfirmed; 32 MiB if 0. One operation larger
	// than that passes when no other is outstanding.
	OperationWindow int
	// MaxPacket is the largest packet in bytes, attachments included, that may be sent; 16 MiB if 0, and at most that.
	MaxPacket int
	// DrainTimeout bounds how long Run waits, when it ends, for running handlers and the hand-over of its sockets; 10 s if 0.
	DrainTimeout time.Duration

	// CleanupEmptyChildNamespaces has a child of a parent namespace forgotten with its last socket (NSP-024); otherwise it
	// stays, and clients that invent names use memory.
	CleanupEmptyChildNamespaces bool

	// CredsFile is a NATS credentials file, used by Connect when it dials.
	CredsFile string
	// Embedded says that what this Server talks to runs only while Run does: nothing is started before, and sending
	// returns ErrNotRunning then. Package siomesh sets it.
	Embedded bool
}

const (
	defaultEmitTimeout  = 5 * time.Second
	defaultDrainTimeout = 10 * time.Second
	defaultWindow       = 32 << 20
	maxPacket           = 16 << 20
)

func (c Config) withDefaults() (Config, error) {
	if err := mesh.ValidAppName(c.App); err != nil {
		return Config{}, err
	}
	if c.EmitTimeout < 0 || c.DrainTimeout < 0 || c.OperationWindow < 0 || c.MaxPacket < 0 || c.MaxPacket > maxPacket {
		return Config{}, fmt.Errorf("config: times and sizes must not be negative, and MaxPacket at most %d", maxPacket)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.EmitTimeout == 0 {
		c.EmitTimeout = defaultEmitTimeout
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = defaultDrainTimeout
	}
	if c.OperationWindow == 0 {
		c.OperationWindow = defaultWindow
	}
	if c.MaxPacket == 0 {
		c.MaxPacket = maxPacket
	}
	return c, nil
}
