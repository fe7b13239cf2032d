// Package bus moves messages between the instances of a mesh: inside one process (Memory), over NATS (NATS), or both with
// the process first (Hybrid). A bus promises little: what one sender sends to one receiver on one lane arrives in order or
// not at all. Package link builds loss-free streams on top. The contract suite in bustest runs against every
// implementation. Start reading at the interface Bus.
package bus

import (
	"context"
	"errors"
)

// ErrNoResponders says that nobody subscribes to the subject of a request. A live peer that is just reconnecting answers
// the same, so it means "suspect", not "dead".
var ErrNoResponders = errors.New("no responders")

// ErrClosed says that the bus was closed.
var ErrClosed = errors.New("bus closed")

// ErrDisconnected says that the bus has no connection at the moment; what was to be sent did not leave this process.
var ErrDisconnected = errors.New("bus disconnected")

// ErrTooLarge says that data is larger than MaxPayload.
var ErrTooLarge = errors.New("message larger than the bus takes")

// ErrNoDeadline says that the context of a request or probe has no deadline.
var ErrNoDeadline = errors.New("bus request without a deadline")

// Msg is one message as a receiver sees it. Data belongs to the receiver.
type Msg struct {
	Subject string
	Reply   string // where an answer goes; empty if none is wanted
	Data    []byte
	More    bool // another message waits already: work that one round can do for both may be put off
}

// Lane says which of a process's connections carries a receiver's messages, so that control traffic never waits behind data.
type Lane int

// The lanes: links use Data; presence, requests and everything else Control.
const (
	Data Lane = iota
	Control
)

// Bus is a connection to the mesh. All methods are safe for concurrent use.
//
// Order: what one goroutine gives to Send arrives at one receiver in that order, whatever the subjects; the same holds for
// Publish. Between Send and Publish there is no order, because they may travel on different connections.
type Bus interface {
	// Publish sends data to every subscriber of subject, in this process and elsewhere. It does not keep data. Nil does not
	// mean delivered. (Control lane.)
	Publish(subject string, data []byte) error
	// Send sends data to the one instance that subscribes to subject. It does not keep data; nil does not mean delivered.
	// When the bus learns that nobody subscribes, it delivers an empty Msg whose Subject is reply to the subscriber of
	// reply ("" for no notice), which must be a receiver of this bus on the Data lane. (Data lane.)
	Send(subject, reply string, data []byte) error
	// Request sends data to one subscriber (of a queue group: any one) and returns its answer, which the caller owns. ctx
	// must have a deadline. ErrNoResponders at once if nobody subscribes. (Control lane.)
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	// Respond answers a message that carries a Reply, which is a request's or that of a Send. It does not keep data. Nobody
	// waiting any more is no error. (Control lane.)
	Respond(m Msg, data []byte) error
	// NewReceiver returns a receiver of at most capacity waiting messages (at least 1); beyond that new ones are lost and
	// counted. It needs Run to deliver and to end.
	NewReceiver(lane Lane, capacity int) Receiver
	// MaxPayload is the largest data in bytes that Publish, Send, Request and Respond take; ErrTooLarge above.
	MaxPayload() int
	// Connected reports whether messages can leave this process on every lane. A bus inside the process is always connected.
	Connected() bool
	// Watch calls f on every change of Connected, one call at a time, until stop is called. f must not block. A call that
	// has begun when stop is called may still be running when stop returns.
	Watch(f func(connected bool)) (stop func())
	// Probe returns nil once messages have left this process and come back on every connection it has, so that a process
	// that is cut off or deaf notices even where its own publishes reach its own subscribers in memory. ctx must have a
	// deadline. ErrDisconnected at once while there is no connection. A bus inside the process answers nil.
	Probe(ctx context.Context) error
	// ForceReconnect drops the connections and makes new ones, for a process that is connected and yet deaf. It does not
	// wait; Watch tells. A bus inside the process does nothing.
	ForceReconnect()
}

// Receiver delivers the messages of all its subscriptions to their handlers on one goroutine, in order of arrival.
type Receiver interface {
	// Subscribe adds a subscription, also while Run runs; each token of subject may be the wildcard *. With a queue, each
	// message goes to one member of that group. When Subscribe has returned, a message published or sent afterwards on
	// this bus is received. ErrClosed after the end of Run.
	Subscribe(subject, queue string, handler func(Msg)) error
	// Run delivers until ctx ends, then removes the subscriptions and returns nil; what still waits is lost. It returns
	// ErrClosed when the bus is closed before. It is called once.
	Run(ctx context.Context) error
	// Dropped is the number of messages lost because the receiver was full.
	Dropped() uint64
}

func checkRequest(ctx context.Context, data []byte, limit int) error {
	if _, ok := ctx.Deadline(); !ok {
		return ErrNoDeadline
	}
	if len(data) > limit {
		return ErrTooLarge
	}
	return ctx.Err()
}
