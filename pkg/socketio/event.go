package socketio

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Event is one event of a client. It may be kept after its handler has returned, and be acknowledged then.
type Event struct {
	Name string
	Args Args

	socket *Socket
	id     []byte      // acknowledgement id as the client wrote it; empty if it wants none
	again  bool        // see Redelivered
	acked  atomic.Bool // one acknowledgement is sent, no more
	few    [4][]byte   // room for the elements of most events
}

// Bind decodes the arguments into targets, one pointer each; see Args.Bind.
func (e *Event) Bind(targets ...any) error { return e.Args.Bind(targets...) }

// SetArgs replaces the arguments by what Emit would send, for a packet middleware (SOC-031). The old ones can be among the
// new: see Args.Values. If they cannot be sent, it returns why and changes nothing.
func (e *Event) SetArgs(args ...any) error {
	body, err := e.socket.ns.server.encoder.ack(nil, args)
	if err != nil {
		return err
	}
	set, err := decodeAck(body)
	if err != nil {
		return err
	}
	e.Args = set
	return nil
}

// Socket returns the socket that the event came from.
func (e *Event) Socket() *Socket { return e.socket }

// Redelivered reports whether the event may have been handled before, by an instance that died.
func (e *Event) Redelivered() bool { return e.again }

// WantsAck reports whether the client asked for an acknowledgement.
func (e *Event) WantsAck() bool { return len(e.id) > 0 }

// Ack answers the event; later calls, and calls for an event whose client wants no answer, do nothing (SOC-008). It may be
// called after the handler has returned, and after the socket has been handed over. It returns what Emit returns: ErrDisconnected if the client has left, who then
// never gets an answer. If the arguments cannot be sent, it may be called again.
func (e *Event) Ack(args ...any) error {
	if !e.WantsAck() || !e.acked.CompareAndSwap(false, true) {
		return nil
	}
	err := e.ack(args)
	if err != nil {
		e.acked.Store(false)
	}
	return err
}

func (e *Event) ack(args []any) error {
	encoder := e.socket.ns.server.encoder
	body := encoder.body()
	defer encoder.release(body)
	encoded, err := encoder.ack(*body, args)
	*body = encoded
	if err != nil {
		return err
	}
	r := wire.Record{Kind: wire.KindAck, ID: e.id, Body: encoded}
	_, err = e.socket.operate(context.Background(), &r, false)
	if errors.Is(err, ErrMoved) { // whoever has the socket, the event was handled here
		_, err = e.socket.ns.server.send(context.Background(), e.socket.foreign(r), false)
	}
	return err
}
