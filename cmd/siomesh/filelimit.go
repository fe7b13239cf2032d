package main

import "log/slog"

const (
	// spareFiles is what a process has open beside its clients: NATS, the internal port, listeners, the poller, files.
	spareFiles = 128
	// fewFiles is the least that a server of clients is expected to have when nobody says how many there will be.
	fewFiles = 10_000
)

// warnOfFileLimit says it when the hard limit of open files is too low for the clients that are to be served. The soft limit
// needs nothing: the Go runtime has raised it to the hard one, less one, before main.
func warnOfFileLimit(log *slog.Logger, hard uint64, sessions, tcp int) {
	if need := filesNeeded(sessions, tcp); hard < need {
		log.Warn("the limit of open files is low: connections beyond it are not accepted; raise it (ulimit -Hn, LimitNOFILE=)",
			slog.Uint64("limit", hard), slog.Uint64("needed", need))
	}
}

// filesNeeded is one file for each client, which is right for WebSocket: one on polling has up to two connections. A limit of
// connections is what it is.
func filesNeeded(sessions, tcp int) uint64 {
	switch {
	case tcp > 0:
		return uint64(tcp) + spareFiles
	case sessions > 0:
		return uint64(sessions) + spareFiles
	default:
		return fewFiles
	}
}
