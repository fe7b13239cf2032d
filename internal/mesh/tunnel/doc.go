// Package tunnel carries many independent streams of bytes between two instances, over the two links they have with each
// other: each stream is a net.Conn with its own window, so that one whose reader is slow holds up no other. It knows nothing
// of what the bytes mean. A stream ends for both sides when either link breaks or the other instance dies; nothing is sent
// again on another. Start at mux.go; peers.go is what becomes of lost peers; stream.go, read.go and write.go are one stream,
// record.go what travels.
package tunnel
