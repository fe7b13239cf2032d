package edge

import (
	"strconv"
	"strings"

	"github.com/siomesh/siomesh/internal/telemetry"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
	"github.com/siomesh/siomesh/services/edge/relay"
)

// Telemetry returns what the counters are called outside.
func (m *Metrics) Telemetry() []telemetry.Metric {
	metrics := append(m.engineTelemetry(), telemetry.Gauge("sio_edge_connections", "Client connections open now.",
		func() float64 { return float64(m.Connections.Load()) }))
	for t := range protocol.BinaryAck + 1 {
		metrics = append(metrics,
			telemetry.Count("sio_edge_packets_in_total", "Socket.IO packets from clients, by type.", &m.PacketsIn[t], "type", t.String()),
			telemetry.Count("sio_edge_packets_out_total", "Socket.IO packets to clients, by type.", &m.PacketsOut[t], "type", t.String()))
	}
	for i, outcome := range AuthOutcomes() {
		metrics = append(metrics,
			telemetry.Count("sio_edge_auth_total", "Questions to auth, by outcome.", &m.Auth[i], "outcome", outcome))
	}
	for i, outcome := range HandshakeOutcomes() {
		metrics = append(metrics,
			telemetry.Count("sio_edge_auth_handshakes_total", "Questions to auth about handshakes, by outcome.", &m.Handshakes[i], "outcome", outcome))
	}
	for i, limit := range Limits() {
		metrics = append(metrics,
			telemetry.Count("sio_edge_connections_throttled_total", "Times the reading of a client stopped for a limit, by limit.", &m.Throttled[i], "limit", limit))
	}
	for i, outcome := range relay.Outcomes() {
		metrics = append(metrics,
			telemetry.Count("sio_edge_requests_relayed_total", "Requests that concern a session of another edge, or come from one, by outcome.", &m.Relay[i], "outcome", outcome))
	}
	return append(metrics,
		telemetry.Count("sio_edge_requests_total", "HTTP requests of clients for the endpoint, for sessions of any edge.", &m.Requests),
		telemetry.Count("sio_edge_sessions_moved_away_total", "Sessions that went to the edge their WebSocket reached.", &m.MovedAway),
		telemetry.Count("sio_edge_sessions_moved_here_total", "Sessions that came from another edge.", &m.MovedHere),
		telemetry.Gauge("sio_edge_streams", "Streams with other edges open now.", func() float64 { return float64(m.Tunnel.Open.Load()) }),
		telemetry.Count("sio_edge_streams_lost_total", "Streams that ended with the loss of the other edge.", &m.Tunnel.Lost),
		telemetry.Count("sio_edge_streams_refused_total", "Streams refused for being too many or not keeping to their window.", &m.Tunnel.Refused),
		telemetry.Count("sio_edge_unjoined_closed_total", "Connections without a namespace closed to make room for newer ones.", &m.UnjoinedClosed),
		telemetry.Count("sio_edge_unjoined_refused_total", "Handshakes refused because too many connections are without a namespace.", &m.UnjoinedRefused),
		telemetry.Count("sio_edge_sockets_expired_total", "Sockets ended with their permission.", &m.Expired),
		telemetry.Count("sio_edge_packets_malformed_total", "Packets that are no Socket.IO packets.", &m.Malformed),
		telemetry.Count("sio_edge_connections_invalid_state_total", "Connections closed for breaking the rules of the protocol.", &m.InvalidState),
		telemetry.Count("sio_edge_packets_late_total", "Packets of clients that came too late to mean anything.", &m.Late),
		telemetry.Count("sio_edge_packets_held_total", "Packets held because the app or its link was full.", &m.Held),
		telemetry.Count("sio_edge_connections_paused_total", "Times the reading of a client stopped.", &m.Paused),
		telemetry.Count("sio_edge_packets_dropped_total", "Packets given up because the app or rooms was lost, or had ended the socket.", &m.Dropped),
		telemetry.Count("sio_edge_operations_unreadable_total", "Operations of apps that cannot be read.", &m.Unreadable),
		telemetry.Count("sio_edge_acks_failed_total", "Open requests for an acknowledgement that failed at the edge.", &m.AcksFailed),
		telemetry.Count("sio_edge_operations_stale_total", "Operations of an instance that does not own the socket.", &m.Stale),
		telemetry.Count("sio_edge_connects_refused_total", "CONNECTs answered with CONNECT_ERROR.", &m.Refused),
		telemetry.Count("sio_edge_connects_unavailable_total", "CONNECTs given up because something was missing too long.", &m.Unavailable),
		telemetry.Count("sio_edge_sockets_joined_total", "Sockets accepted into a namespace.", &m.Joined),
		telemetry.Count("sio_edge_sockets_handed_over_total", "Sockets that went from an app instance that ends to another.", &m.HandedOver),
		telemetry.Count("sio_edge_hand_overs_failed_total", "Sockets closed because their app instance ended and no other took them.", &m.HandOversFailed),
		telemetry.Count("sio_edge_volatile_dropped_total", "Volatile packets dropped because the client was busy.", &m.VolatileDropped),
		telemetry.Count("sio_edge_connect_timeouts_total", "Connections closed because they joined no namespace in time.", &m.ConnectTimeouts),
	)
}

// engineTelemetry names the counters of the engine.
func (m *Metrics) engineTelemetry() []telemetry.Metric {
	read := func(value func(engine.Snapshot) uint64) func() float64 {
		return func() float64 { return float64(value(m.Engine.Snapshot())) }
	}
	now := m.Engine.Snapshot()
	metrics := []telemetry.Metric{
		{
			Name: "sio_engine_sessions_opened_total", Help: "Engine.IO sessions opened.",
			Read: read(func(s engine.Snapshot) uint64 { return s.SessionsOpened }),
		},
		{
			Name: "sio_engine_received_bytes_total", Help: "Bytes of packets from clients.",
			Read: read(func(s engine.Snapshot) uint64 { return s.BytesIn }),
		},
		{
			Name: "sio_engine_sent_bytes_total", Help: "Bytes of packets to clients.",
			Read: read(func(s engine.Snapshot) uint64 { return s.BytesOut }),
		},
	}
	for reason := range now.SessionsClosed {
		metrics = append(metrics, telemetry.Metric{
			Name: "sio_engine_sessions_closed_total", Help: "Engine.IO sessions closed, by reason.",
			Labels: map[string]string{"reason": string(reason)},
			Read:   read(func(s engine.Snapshot) uint64 { return s.SessionsClosed[reason] }),
		})
	}
	for t := range now.PacketsIn {
		metrics = append(metrics, telemetry.Metric{
			Name: "sio_engine_packets_in_total", Help: "Engine.IO packets from clients, by type.",
			Labels: map[string]string{"type": t}, Read: read(func(s engine.Snapshot) uint64 { return s.PacketsIn[t] }),
		}, telemetry.Metric{
			Name: "sio_engine_packets_out_total", Help: "Engine.IO packets to clients, by type.",
			Labels: map[string]string{"type": t}, Read: read(func(s engine.Snapshot) uint64 { return s.PacketsOut[t] }),
		})
	}
	for code := range now.Refused {
		metrics = append(metrics, telemetry.Metric{
			Name: "sio_engine_refused_total", Help: "HTTP requests refused, by Engine.IO error code.",
			Labels: map[string]string{"code": strconv.Itoa(code)}, Read: read(func(s engine.Snapshot) uint64 { return s.Refused[code] }),
		})
	}
	for reason := range now.BodiesRefused {
		metrics = append(metrics, telemetry.Metric{
			Name: "sio_engine_bodies_refused_total", Help: "POSTs of sessions whose body was too large or came too slowly, by reason.",
			Labels: map[string]string{"reason": reason},
			Read:   read(func(s engine.Snapshot) uint64 { return s.BodiesRefused[reason] }),
		})
	}
	for outcome := range now.Upgrades {
		metrics = append(metrics, telemetry.Metric{
			Name: "sio_engine_upgrades_total", Help: "Upgrades from polling to WebSocket that have ended, by outcome.",
			Labels: map[string]string{"outcome": outcome},
			Read:   read(func(s engine.Snapshot) uint64 { return s.Upgrades[outcome] }),
		})
	}
	for reason := range now.NotAdmitted {
		metrics = append(metrics, telemetry.Metric{
			Name: "sio_engine_not_admitted_total", Help: "Handshakes refused by a limit on sessions, by limit.",
			Labels: map[string]string{"limit": strings.ToLower(reason)},
			Read:   read(func(s engine.Snapshot) uint64 { return s.NotAdmitted[reason] }),
		})
	}
	return metrics
}
