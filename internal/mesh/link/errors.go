package link

import "errors"

// ErrFull says that a record does not fit the window now: wait (AppendWait), try again at the next
// mark (OnMark), or drop it.
var ErrFull = errors.New("link window full")

// ErrTooLarge says that a record is larger than Config.MaxRecord and can never be sent.
var ErrTooLarge = errors.New("record too large for a link")

// ErrBroken says that a link has ended and what was not marked may be lost. Every error of Link.Broken is one, and also one
// of the reasons below. Endpoint.Link opens a new link.
var ErrBroken = errors.New("link broken")

// The reasons of a break.
var (
	ErrPeerDead = errors.New("peer dead")                                 // Endpoint.Drop was called
	ErrStuck    = errors.New("no progress while connected")               // Config.StuckAfter passed
	ErrRefused  = errors.New("peer refused the link")                     // it could not read a record, or had forgotten us
	ErrOverflow = errors.New("more control records waiting than allowed") // they are not counted, but bounded
	ErrStopped  = errors.New("endpoint stopped")                          // Endpoint.Run has returned
)
