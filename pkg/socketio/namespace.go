package socketio

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
)

// Middleware decides whether a client may join a namespace. An error refuses it: a *ConnectError with its message and data,
// any other with its text as the message; stock clients hear connect_error, and do not come back by themselves. The socket
// is not connected yet; it may join rooms, which it leaves if it is refused, and emit (MID-009, MID-011). If the client is
// gone meanwhile, what the middleware returns has no effect. The context ends when the Server gives up on its handlers.
type Middleware func(ctx context.Context, s *Socket) error

// Namespace is one namespace, such as "/chat", of the whole mesh: sockets of all edges and instances are in it. Get it from
// Server.Of; it is the same for the same name. Clients can join once an instance that has a handler or middleware for it
// runs. Safe for concurrent use.
type Namespace struct {
	server    *Server
	name      string
	nameBytes []byte
	partition uint8
	work      context.Context //nolint:containedctx // bounds what is done by the function of Confirmed that this was made for; nil elsewhere

	// Guarded by server.mu until Run begins, fixed from then on.
	middlewares []Middleware
	connection  []func(*Socket)

	serverSide []*serverListener // guarded by server.mu; never changed in place
	roomSide   []*roomListener   // guarded by server.mu; never changed in place

	// Guarded by server.mu, for children of a parent; see parent.go.
	parent  *ParentNamespace
	making  chan struct{} // closed once the child is ready; nil while nobody makes it
	ready   bool          // clients can join
	asked   bool          // made for a client's question, and never given out by Of
	sockets int           // that edges assigned
}

func newNamespace(s *Server, name string) *Namespace {
	return &Namespace{server: s, name: name, nameBytes: []byte(name), partition: mesh.Partition(name)}
}

// Name returns the name with its leading slash, which means the same in all instances.
func (n *Namespace) Name() string { return n.name }

// Use adds a connection middleware. They run in order, on the socket's own goroutine, for each client that wants to join
// and that the auth service has let in - one that comes back, too, but not one that is handed over -, at the instance that will have the socket; the first
// error ends the chain and refuses the client (MID-001, MID-003), and so does a panic. Those of one namespace do not run
// for another (MID-005). After Run it returns ErrRunning, which also goes to OnError, and changes nothing.
func (n *Namespace) Use(m Middleware) error {
	return n.server.register(n, func() { n.middlewares = append(n.middlewares, m) })
}

// OnConnection adds a handler for sockets that joined and are assigned to this instance, or were handed over to it
// (Socket.HandedOver); a client that comes back is a new one. It runs on the socket's own goroutine: events of the socket come after it has returned, and it may wait for the
// client's acknowledgements. Its panic goes to OnError, and the socket stays. After Run it returns ErrRunning, which also
// goes to OnError, and changes nothing.
func (n *Namespace) OnConnection(f func(*Socket)) error {
	return n.server.register(n, func() { n.connection = append(n.connection, f) })
}

// Emit sends an event to every socket of the namespace; see BroadcastOperator.Emit.
func (n *Namespace) Emit(event string, args ...any) error { return n.all().Emit(event, args...) }

// Send is Emit of the event "message" (SOC-003).
func (n *Namespace) Send(args ...any) error { return n.all().Send(args...) }

// To selects the sockets in any of the rooms, on all edges.
func (n *Namespace) To(rooms ...string) BroadcastOperator { return n.all().To(rooms...) }

// In is To.
func (n *Namespace) In(rooms ...string) BroadcastOperator { return n.all().To(rooms...) }

// Except selects the sockets in none of the rooms, on all edges.
func (n *Namespace) Except(rooms ...string) BroadcastOperator { return n.all().Except(rooms...) }

// Volatile selects every socket, for packets that may be dropped; see BroadcastOperator.Volatile.
func (n *Namespace) Volatile() BroadcastOperator { return n.all().Volatile() }

// Compress selects every socket, for packets that are compressed, or with false are not.
func (n *Namespace) Compress(compress bool) BroadcastOperator { return n.all().Compress(compress) }

// Count returns the number of sockets in the namespace; see BroadcastOperator.Count.
func (n *Namespace) Count(ctx context.Context) (int, error) { return n.all().Count(ctx) }

// Local selects the sockets that this instance has; see BroadcastOperator.Local.
func (n *Namespace) Local() BroadcastOperator { return n.all().Local() }

// Timeout selects every socket, and bounds what waits for answers.
func (n *Namespace) Timeout(d time.Duration) BroadcastOperator { return n.all().Timeout(d) }

// FetchSockets returns the sockets of the namespace, wherever they are; see BroadcastOperator.FetchSockets.
func (n *Namespace) FetchSockets(ctx context.Context) ([]*RemoteSocket, error) {
	return n.all().FetchSockets(ctx)
}

// EachSocket walks the sockets of the namespace, wherever they are; see BroadcastOperator.EachSocket.
func (n *Namespace) EachSocket(ctx context.Context, fields Fields) iter.Seq2[*RemoteSocket, error] {
	return n.all().EachSocket(ctx, fields)
}

// SocketIDs returns the ids of the sockets of the namespace, wherever they are; see BroadcastOperator.SocketIDs.
func (n *Namespace) SocketIDs(ctx context.Context) ([]string, error) { return n.all().SocketIDs(ctx) }

// SocketsJoin puts the sockets of the namespace into rooms; see BroadcastOperator.SocketsJoin.
func (n *Namespace) SocketsJoin(rooms ...string) error { return n.all().SocketsJoin(rooms...) }

// SocketsLeave takes the sockets of the namespace out of rooms; see BroadcastOperator.SocketsLeave.
func (n *Namespace) SocketsLeave(rooms ...string) error { return n.all().SocketsLeave(rooms...) }

// DisconnectSockets disconnects the sockets of the namespace; see BroadcastOperator.DisconnectSockets.
func (n *Namespace) DisconnectSockets(closeConnections bool) error {
	return n.all().DisconnectSockets(closeConnections)
}

func (n *Namespace) all() BroadcastOperator { return BroadcastOperator{namespace: n} }

// Of returns the namespace of that name; a missing leading slash is added and "" is "/" (NSP-001). Run announces the
// namespaces that have a handler or middleware, and clients can join these; on others this Server only sends. If a parent's
// pattern finds the name, a new namespace is a child of it (NSP-023).
func (s *Server) Of(name string) *Namespace {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	s.mu.Lock()
	n := s.namespaces[name]
	if n != nil {
		n.asked = false
		s.mu.Unlock()
		return n
	}
	n = newNamespace(s, name)
	s.namespaces[name] = n
	newcomers := s.newcomers
	tell := func() { s.introduce(n, newcomers) }
	for _, p := range s.parents {
		if name != "/" && p.pattern != nil && p.pattern.MatchString(name) {
			tell = s.birth(n, p)
			break
		}
	}
	s.mu.Unlock()
	if name != "/" {
		tell()
	}
	return n
}

// register changes the handlers of a namespace, before Run only.
func (s *Server) register(n *Namespace, change func()) error {
	s.mu.Lock()
	late := s.phase != connected && (n.making == nil || n.ready)
	if !late {
		change()
	}
	s.mu.Unlock()
	if late {
		err := fmt.Errorf("add a handler to namespace %.80q: %w", n.name, ErrRunning)
		s.reports.put(err)
		return err
	}
	return nil
}

// served returns the names to announce, sorted. The caller holds mu. One without handlers is not served, not even "/": many
// applications share a mesh, and one that only sends to a namespace must not be given its sockets.
func (s *Server) served() []string {
	var names []string
	for name, n := range s.namespaces {
		if len(n.middlewares) > 0 || len(n.connection) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
