package socketio

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
)

// Conn is the client's connection, which all its sockets share: what Socket.IO calls socket.conn. The edge holds it, so this
// is what it was at one moment.
type Conn struct {
	Transport     string // "polling" or "websocket"
	Upgraded      bool   // it has changed from polling to WebSocket
	Protocol      int    // version of the Engine.IO protocol: 4, or 3 for clients of Socket.IO 2.x
	RemoteAddress string // the client's IP address; behind trusted proxies, what they say
	Edge          string // instance id of the edge
}

// CurrentConn asks the edge for the connection as it is now: a client changes from polling to WebSocket soon after it has
// joined. If ctx has no deadline, Config.EmitTimeout bounds the wait. It returns ErrDisconnected if the client has left.
func (s *Socket) CurrentConn(ctx context.Context) (Conn, error) {
	server := s.ns.server
	if err := server.usable(); err != nil {
		return Conn{}, err
	}
	if err := s.lost(); err != nil || !s.Connected() {
		return Conn{}, cmp.Or(err, ErrDisconnected)
	}
	ctx, cancel := server.patient(ctx)
	defer cancel()
	if err := server.out.settled(ctx, s.ns.partition); err != nil { // that the client may join, in a connection handler
		return Conn{}, fmt.Errorf("ask for the connection: %w", err)
	}
	reply, err := server.askEdge(ctx, s.addr.Edge, &siomeshv1.EdgeRequest{
		Namespace: s.ns.name,
		Query: &siomeshv1.EdgeRequest_Sockets{
			Sockets: &siomeshv1.SocketsQuery{Rooms: [][]byte{[]byte(s.id)}, Connection: true},
		},
	})
	if errors.Is(err, errEdgeGone) {
		return Conn{}, ErrDisconnected
	}
	if err != nil {
		return Conn{}, &EdgeError{Edge: s.addr.Edge.String(), Err: err}
	}
	for _, info := range reply.GetSockets() {
		if c := info.GetConnection(); info.GetId() == s.id && c != nil {
			return Conn{
				Transport: c.GetTransport(), Upgraded: c.GetUpgraded(), Protocol: int(c.GetProtocol()),
				RemoteAddress: c.GetAddress(), Edge: s.addr.Edge.String(),
			}, nil
		}
	}
	return Conn{}, ErrDisconnected
}

// Conn returns the connection as it was when the client joined the namespace (SOC-017). It is decoded anew by every call.
func (s *Socket) Conn() Conn {
	var c siomeshv1.Connect
	// It was decoded before, when the socket was made, so it cannot fail.
	_ = proto.Unmarshal(s.body, &c)
	return Conn{
		Transport: c.GetTransport(), Upgraded: c.GetUpgraded(), Protocol: int(c.GetProtocol()),
		RemoteAddress: c.GetHandshake().GetAddress(), Edge: s.addr.Edge.String(),
	}
}
