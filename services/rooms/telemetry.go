package rooms

import (
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/internal/telemetry"
)

// Telemetry returns what the counters are called outside.
func (m *Metrics) Telemetry() []telemetry.Metric {
	metrics := []telemetry.Metric{
		telemetry.Count("sio_rooms_operations_repeated_total", "Operations that had been taken before.", &m.Repeats),
		telemetry.Count("sio_rooms_queries_total", "Queries answered or refused.", &m.Queries),
		telemetry.Count("sio_rooms_sockets_gone_total", "Sockets that edges reported as gone.", &m.Gone),
		telemetry.Count("sio_rooms_edges_ended_total", "Edges forgotten with all their sockets.", &m.EdgesEnded),
		telemetry.Count("sio_rooms_edges_full_total", "Links to edges that broke because too much was left unapplied.", &m.EdgesFull),
		telemetry.Count("sio_rooms_room_events_missed_total", "How often an app instance took no more room events.", &m.RoomEventsMissed),
	}
	for kind, name := range map[wire.Kind]string{
		wire.KindAccept: "accept", wire.KindRefuse: "refuse", wire.KindUnknown: "unknown", wire.KindEmit: "emit",
		wire.KindAck: "ack", wire.KindJoin: "join", wire.KindLeave: "leave", wire.KindClose: "close",
		wire.KindBroadcast: "broadcast", wire.KindHandled: "handled", wire.KindData: "data",
		wire.KindWatch: "watch", wire.KindJoinAll: "join_all", wire.KindLeaveAll: "leave_all", wire.KindCloseAll: "close_all",
		wire.KindAsk: "ask", wire.KindServerEmit: "server_emit", wire.KindServerReply: "server_reply",
		wire.KindWatchRooms: "watch_rooms", wire.KindDetached: "detached",
	} {
		metrics = append(metrics,
			telemetry.Count("sio_rooms_operations_total", "Operations of apps, by kind.", &m.Operations[kind], "kind", name))
	}
	return metrics
}
