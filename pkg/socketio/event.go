package socketio

import (
	"context"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Event is one event of a client. It may be kept after its handler has returned.
type Event struct {
	Name string
	Args Args

	socket *Socket
	id     []byte      // acknowledgement id as the client wrote it; empty if it wants none
	acked  atomic.Bool // one acknowledgement is sent, no more
	few    [4][]byte   // room for the elements of most events
}

// Bind decodes the arguments into targets, one pointer each; see Args.Bind.
func (e *Event) Bind(targets ...any) error { return e.Args.Bind(targets...) }

// WantsAck reports whether the client asked for an acknowledgement.
func (e *Event) WantsAck() bool { return len(e.id) > 0 }

// Ack answers the event; later calls, and calls for an event whose client wants no answer, do nothing (SOC-008). It may be
// called after the handler has returned. If the arguments cannot be sent, it returns why and may be called again.
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
	_, err = e.socket.operate(context.Background(), &wire.Record{Kind: wire.KindAck, ID: e.id, Body: encoded}, false)
	return err
}
