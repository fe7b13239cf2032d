// Package link carries ordered streams of records between instances, exactly once, over a bus that may lose, repeat or delay:
// or it reports a break. Start at endpoint.go and link.go; sender.go, silence.go, receiver.go and fragment.go are state
// machines without IO or clock, which the Endpoint drives.
//
// A link goes one way, from one instance to another, and has a number that grows with every link its sender opens. Records
// are numbered from 1 and travel many to a frame; the sender keeps encoded frames until the receiver has marked them, and
// holds at most a window. Marks are cumulative; they ride on frames of the opposite direction, or go alone when half the
// window is unmarked or on the next tick.
//
// Loss shows in three ways. A receiver that misses records says so once, and again each time the sender goes back and still
// does not begin where it should: the sender goes back to the first unmarked record. After a reconnect it does so unasked.
// After a silence it repeats its last frame, which either fetches the mark that was lost or shows the receiver the gap.
//
// A link breaks when the peer is dead, refuses a record, has forgotten the link, or gives no sign of progress although by
// every other sign it is alive. What was not marked then may be lost or not: its owner decides what that means. A new link
// may be opened at once; it replaces the old one at the receiver.
package link
