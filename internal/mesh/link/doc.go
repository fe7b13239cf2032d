// Package link carries ordered streams of records between instances, exactly once, over a bus that may lose, repeat or delay:
// sequence numbers, a window, cumulative marks, resends; or it reports a break. Sender and receiver are state machines
// without IO or clock (sender.go, receiver.go), driven by Endpoint, which owns the goroutines.
package link
