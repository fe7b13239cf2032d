package link

import "sync/atomic"

// Metrics counts what the links of an endpoint do. The zero value is ready; it may be shared by endpoints and read at any
// time.
type Metrics struct {
	RecordsSent     atomic.Uint64 // records appended
	RecordsReceived atomic.Uint64 // records delivered to the handler
	FramesSent      atomic.Uint64 // data frames, resent ones included
	FramesReceived  atomic.Uint64 // data frames, repeated ones included
	MarksSent       atomic.Uint64 // marks that found no frame to ride on
	Resends         atomic.Uint64 // data frames sent again
	Gaps            atomic.Uint64 // times a receiver found records missing
	Skipped         atomic.Uint64 // records of an unknown kind that may be skipped
	Malformed       atomic.Uint64 // messages that are no frame
	Full            atomic.Uint64 // records refused by a full window
	NoResponders    atomic.Uint64 // frames nobody subscribed to

	BreaksDead     atomic.Uint64 // links broken by ErrPeerDead
	BreaksStuck    atomic.Uint64 // links broken by ErrStuck
	BreaksRefused  atomic.Uint64 // links broken by ErrRefused
	BreaksOverflow atomic.Uint64 // links broken by ErrOverflow
	BreaksRead     atomic.Uint64 // incoming links broken because a record could not be read
}
