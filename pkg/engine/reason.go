package engine

import "errors"

// Reason says why a session ended, in the words of the reference server.
type Reason string

// The reasons a session ends with. All but SlowClient are the reference's own.
const (
	// TransportClose is a client that went away: close packet, WebSocket close or end of the connection.
	TransportClose Reason = "transport close"
	// TransportError is a violation of the transport's rules, or an aborted request.
	TransportError Reason = "transport error"
	// PingTimeout is a client that did not answer a ping in time.
	PingTimeout Reason = "ping timeout"
	// ParseError is a packet that could not be decoded.
	ParseError Reason = "parse error"
	// ForcedClose is a close by this server.
	ForcedClose Reason = "forced close"
	// SlowClient is a client whose outbound queue grew past Config.MaxOutboundBytes.
	SlowClient Reason = "slow client"
	// Moved is a session that goes on at another server; no Handler is ever told it.
	Moved Reason = "moved"
)

// Wire returns the reason under which applications and clients know it: SlowClient
// is ours alone and means TransportClose to everybody else.
func (r Reason) Wire() Reason {
	if r == SlowClient {
		return TransportClose
	}
	return r
}

// Errors that callers branch on.
var (
	// ErrClosed is returned when something is sent on a session that is closing or closed.
	ErrClosed = errors.New("engine: session closed")
	// ErrSlow is returned by the send that found the outbound queue full; it closed the session.
	ErrSlow = errors.New("engine: outbound queue full")
)

// Causes given to Handler.Closed; the texts of the first four are the reference's.
var (
	errPollAborted        = errors.New("poll connection closed prematurely")
	errPollOverlap        = errors.New("overlap from client")
	errPostAborted        = errors.New("data request connection closed prematurely")
	errPostOverlap        = errors.New("data request overlap from client")
	errPostContent        = errors.New("invalid content")
	errHeartbeatDirection = errors.New("invalid heartbeat direction")
	errPostCut            = errors.New("data request not waited for")
	errMalformed          = errors.New("malformed packet")
)
