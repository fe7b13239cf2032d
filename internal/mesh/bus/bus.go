// Package bus moves messages between the instances of a mesh: inside one process (Memory), over NATS (NATS), or both with
// the process first (Hybrid). A bus promises little: messages of one sender to one receiver arrive in order or not at all.
// Package link builds loss-free streams on top. The contract suite in bustest runs against every implementation.
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

// ErrDisconnected says that the bus has no connection at the moment; what was to be sent was not.
var ErrDisconnected = errors.New("bus disconnected")

// Msg is one message as a receiver sees it. Data belongs to the receiver.
type Msg struct {
	Subject string
	Reply   string // where an answer goes; empty if none is wanted
	Data    []byte
}

// Lane says which of a process's connections carries a receiver's messages, so that control traffic never waits behind data.
type Lane int

// The lanes: links use Data; presence, requests and everything else Control.
const (
	Data Lane = iota
	Control
)

// Bus is a connection to the mesh. All methods are safe for concurrent use.
type Bus interface {
	// Publish sends data to every subscriber of subject, in this process and elsewhere. It does not keep data. (Control lane.)
	Publish(subject string, data []byte) error
	// Send sends data to the one instance that subscribes to subject. It does not keep data; nil does not mean delivered.
	// When the bus learns that nobody subscribes, it delivers an empty Msg whose Subject is reply to the subscriber of
	// reply ("" for no notice). (Data lane.)
	Send(subject, reply string, data []byte) error
	// Request sends data to one subscriber (of a queue group: any one) and returns its answer. ctx must have a deadline.
	// ErrNoResponders at once if nobody subscribes. (Control lane.)
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	// Respond answers a message that carries a Reply. It does not keep data.
	Respond(m Msg, data []byte) error
	// NewReceiver returns a receiver of at most capacity waiting messages; beyond that new ones are lost and counted.
	NewReceiver(lane Lane, capacity int) Receiver
	// MaxPayload is the largest data in bytes that Publish, Send and Request take.
	MaxPayload() int
	// Connected reports whether messages can leave this process. A bus inside the process is always connected.
	Connected() bool
	// Watch calls f on every change of Connected, from a goroutine of the bus, until stop is called.
	Watch(f func(connected bool)) (stop func())
}

// Receiver delivers the messages of all its subscriptions to their handlers on one goroutine, in order of arrival: messages
// of one sender keep their order across subjects.
type Receiver interface {
	// Subscribe adds a subscription; subject may contain the wildcard * as a token. With a queue, each message goes to one
	// member of that group. When Subscribe has returned, a message published afterwards on this bus is received.
	Subscribe(subject, queue string, handler func(Msg)) error
	// Run delivers until ctx ends, then removes the subscriptions. It returns nil then.
	Run(ctx context.Context) error
	// Dropped is the number of messages lost because the receiver was full.
	Dropped() uint64
}
