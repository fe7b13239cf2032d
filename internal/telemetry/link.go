package telemetry

import "github.com/siomesh/siomesh/internal/mesh/link"

// Link returns the metrics of one service's links.
func Link(service string, m *link.Metrics) []Metric {
	count := func(name, help string, c Counter, labels ...string) Metric {
		return Count("sio_link_"+name, help, c, append(labels, "service", service)...)
	}
	const breaks, breaksHelp = "breaks_total", "Links that ended while the service ran, by reason."
	return []Metric{
		count("records_sent_total", "Records appended to links.", &m.RecordsSent),
		count("records_received_total", "Records received from links.", &m.RecordsReceived),
		count("frames_sent_total", "Data frames sent, resent ones included.", &m.FramesSent),
		count("frames_received_total", "Data frames received, repeated ones included.", &m.FramesReceived),
		count("marks_sent_total", "Marks that found no frame to ride on.", &m.MarksSent),
		count("resends_total", "Data frames sent again.", &m.Resends),
		count("gaps_total", "Times a receiver found records missing.", &m.Gaps),
		count("skipped_total", "Records of an unknown kind that may be skipped.", &m.Skipped),
		count("malformed_total", "Messages that are no frame.", &m.Malformed),
		count("full_total", "Records refused by a full window.", &m.Full),
		count("no_responders_total", "Frames nobody subscribed to.", &m.NoResponders),
		count(breaks, breaksHelp, &m.BreaksDead, "reason", "peer_dead"),
		count(breaks, breaksHelp, &m.BreaksStuck, "reason", "stuck"),
		count(breaks, breaksHelp, &m.BreaksRefused, "reason", "refused"),
		count(breaks, breaksHelp, &m.BreaksOverflow, "reason", "overflow"),
		count(breaks, breaksHelp, &m.BreaksRead, "reason", "unreadable"),
	}
}
