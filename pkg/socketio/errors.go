package socketio

import (
	"errors"
	"fmt"
	"strconv"
)

// Errors that callers branch on. Returned errors are or wrap them.
var (
	// ErrClosed says that the Server was closed, or that its Run has ended.
	ErrClosed = errors.New("socketio: closed")
	// ErrNotRunning says that a Server inside a mesh that is embedded in this process was used before Run.
	ErrNotRunning = errors.New("socketio: not running")
	// ErrRunning says that Run was called before: namespaces can get no more handlers or middlewares, and Run cannot be
	// called again.
	ErrRunning = errors.New("socketio: already running")
	// ErrDisconnected says that the socket is no longer, or not yet, connected.
	ErrDisconnected = errors.New("socketio: socket is disconnected")
	// ErrMoved says that another instance has the socket now, because this one ends: see Socket.OnHandOver.
	ErrMoved = errors.New("socketio: socket has moved to another instance")
	// ErrTimeout says that an answer did not come in time: of a client, another instance, rooms or an edge (SOC-038; the text
	// is the reference's). If the deadline was that of the caller's context, it may be context.DeadlineExceeded instead.
	ErrTimeout = errors.New("operation has timed out")
	// ErrNoRooms says that no rooms service took the operation within Config.EmitTimeout.
	ErrNoRooms = errors.New("socketio: no rooms service")
	// ErrWindowFull says that too much was unconfirmed for longer than Config.EmitTimeout.
	ErrWindowFull = errors.New("socketio: operation window full")
	// ErrTooLarge says that a packet, or the refusal of a client, is larger than Config.MaxPacket.
	ErrTooLarge = errors.New("socketio: packet too large")
	// ErrEncode says that a value cannot be sent, such as a channel or NaN.
	ErrEncode = errors.New("socketio: value cannot be encoded")
	// ErrDropped says that a volatile packet was dropped whose acknowledgement was to be waited for.
	ErrDropped = errors.New("socketio: volatile packet dropped")
	// ErrAckFailed says that the edge gave up an acknowledgement, because too many are open, or because the client left after
	// the socket was handed over.
	ErrAckFailed = errors.New("socketio: acknowledgement given up")
	// ErrLost says that operations accepted earlier were never confirmed: the rooms service that had them is gone, or
	// the link to it broke. Some of them may have been carried out. What decides over a socket is not lost by that: that
	// it may join, is refused, or is disconnected is sent again. Unless all of it was volatile or for other instances, the
	// sockets of this instance end, and their clients are closed as "transport close", so that who has missed something comes
	// back; clients of other instances are not.
	ErrLost = errors.New("socketio: operations lost")
	// ErrMissingArgument says that an event or acknowledgement has fewer arguments than Bind has targets.
	ErrMissingArgument = errors.New("socketio: missing argument")
	// ErrDrain says that handlers were still running when the time for draining was over.
	ErrDrain = errors.New("socketio: handlers still running")
)

// ConnectError is returned by a connection middleware to refuse a client: it becomes the client's connect_error event.
type ConnectError struct {
	Message string // err.message at the client
	Data    any    // err.data at the client, encoded as JSON; absent if nil (MID-004)
}

// Error returns the message.
func (e *ConnectError) Error() string { return e.Message }

// ReservedEventError refuses the name of an event that has a meaning of its own (SOC-019, NSP-032).
type ReservedEventError struct{ Event string }

// Error returns the reference's text.
func (e *ReservedEventError) Error() string {
	return strconv.Quote(e.Event) + " is a reserved event name"
}

// HandlerError is what OnError gets when a handler of the application failed.
type HandlerError struct {
	Socket *Socket
	Event  string // name of the event; "connection", "disconnecting" or "disconnect" for the other handlers
	Err    error  // what the handler returned, or a *PanicError
}

// Error names the namespace and the event, without ids.
func (e *HandlerError) Error() string {
	return fmt.Sprintf("handle %.80q in namespace %.80q: %v", e.Event, e.Socket.ns.name, e.Err)
}

// Unwrap returns Err.
func (e *HandlerError) Unwrap() error { return e.Err }

// PanicError is a panic of a handler, which ends only that handler.
type PanicError struct {
	Value any
	Stack []byte // as debug.Stack gives it
}

// Error returns the value without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }
