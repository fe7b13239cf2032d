package edge

import (
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh/tunnel"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/services/edge/relay"
)

// Metrics counts what an edge does. The zero value is ready; safe for concurrent use.
type Metrics struct {
	Engine engine.Metrics

	Connections     atomic.Int64     // open now
	PacketsIn       [7]atomic.Uint64 // by packet type
	PacketsOut      [7]atomic.Uint64 // by packet type, one for each recipient
	Auth            [5]atomic.Uint64 // by outcome, see AuthOutcomes
	Handshakes      [6]atomic.Uint64 // questions about handshakes by outcome, see HandshakeOutcomes
	Malformed       atomic.Uint64    // packets that are no Socket.IO packets
	InvalidState    atomic.Uint64    // connections closed for breaking the rules of the protocol
	Late            atomic.Uint64    // packets of clients that came too late to mean anything
	Held            atomic.Uint64    // packets held because the app or its link was full
	Paused          atomic.Uint64    // times the reading of a client stopped
	Throttled       [3]atomic.Uint64 // times it stopped because the client exceeded a limit, see Limits
	Expired         atomic.Uint64    // sockets ended with their permission
	Dropped         atomic.Uint64    // packets given up because the app or rooms was lost, or had ended the socket
	Unreadable      atomic.Uint64    // operations of apps that cannot be read
	AcksFailed      atomic.Uint64    // open requests for an acknowledgement that failed at the edge
	Stale           atomic.Uint64    // operations of an instance that does not own the socket
	Refused         atomic.Uint64    // CONNECTs answered with CONNECT_ERROR
	Unavailable     atomic.Uint64    // CONNECTs given up because something was missing too long
	Joined          atomic.Uint64    // sockets accepted into a namespace
	HandedOver      atomic.Uint64    // sockets that went from an app instance that ends to another
	HandOversFailed atomic.Uint64    // sockets whose instance ended and that no other took
	VolatileDropped atomic.Uint64    // volatile packets dropped because the client was busy
	ConnectTimeouts atomic.Uint64    // connections closed because they joined no namespace in time
	Requests        atomic.Uint64    // HTTP requests of clients for the endpoint
	Relay           relay.Metrics    // requests for sessions of other edges, and from other edges
	MovedAway       atomic.Uint64    // sessions that went to the edge their WebSocket reached
	MovedHere       atomic.Uint64    // sessions that came from another edge
	Tunnel          tunnel.Metrics
	UnjoinedClosed  atomic.Uint64 // connections without a namespace closed to make room for newer ones
	UnjoinedRefused atomic.Uint64 // handshakes refused because there were too many of those
}

// The outcomes of asking auth, in the order of Metrics.Auth and Metrics.Handshakes.
const (
	authAllowed = iota
	authRefused
	authUnavailable
	authUnreadable
	authTooLarge
	authBusy // too many handshakes wait already
)

// AuthOutcomes names the counters of Metrics.Auth.
func AuthOutcomes() [5]string {
	return [5]string{"allowed", "refused", "unavailable", "unreadable", "too_large"}
}

// HandshakeOutcomes names the counters of Metrics.Handshakes.
func HandshakeOutcomes() [6]string {
	return [6]string{"allowed", "refused", "unavailable", "unreadable", "too_large", "busy"}
}

// Limits names the counters of Metrics.Throttled.
func Limits() [3]string { return [3]string{"events", "bytes", "connects"} }

func (m *Metrics) auth(outcome int)                    { m.Auth[outcome].Add(1) }
func (m *Metrics) handshake(outcome int)               { m.Handshakes[outcome].Add(1) }
func (m *Metrics) packetIn(t protocol.Type)            { m.PacketsIn[t].Add(1) }
func (m *Metrics) packetOut(t protocol.Type, n uint64) { m.PacketsOut[t].Add(n) }
func (m *Metrics) connOpened()                         { m.Connections.Add(1) }
func (m *Metrics) connClosed()                         { m.Connections.Add(-1) }
func (m *Metrics) malformed()                          { m.Malformed.Add(1) }
func (m *Metrics) invalidState()                       { m.InvalidState.Add(1) }
func (m *Metrics) late()                               { m.Late.Add(1) }
func (m *Metrics) held()                               { m.Held.Add(1) }
func (m *Metrics) paused()                             { m.Paused.Add(1) }
func (m *Metrics) throttled(by limited)                { m.Throttled[by].Add(1) }
func (m *Metrics) expired()                            { m.Expired.Add(1) }
func (m *Metrics) dropped(n int)                       { m.Dropped.Add(uint64(n)) } //nolint:gosec // not negative
func (m *Metrics) unreadable()                         { m.Unreadable.Add(1) }
func (m *Metrics) ackFailed()                          { m.AcksFailed.Add(1) }
func (m *Metrics) stale()                              { m.Stale.Add(1) }
func (m *Metrics) refused()                            { m.Refused.Add(1) }
func (m *Metrics) unavailable()                        { m.Unavailable.Add(1) }
func (m *Metrics) joined()                             { m.Joined.Add(1) }
func (m *Metrics) handedOver()                         { m.HandedOver.Add(1) }
func (m *Metrics) handOverFailed()                     { m.HandOversFailed.Add(1) }
func (m *Metrics) volatileDropped()                    { m.VolatileDropped.Add(1) }
func (m *Metrics) request()                            { m.Requests.Add(1) }
func (m *Metrics) movedAway()                          { m.MovedAway.Add(1) }
func (m *Metrics) movedHere()                          { m.MovedHere.Add(1) }
func (m *Metrics) connectTimeout()                     { m.ConnectTimeouts.Add(1) }
func (m *Metrics) unjoinedClosed()                     { m.UnjoinedClosed.Add(1) }
func (m *Metrics) unjoinedRefused()                    { m.UnjoinedRefused.Add(1) }
