package socketio

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// A namespace that clients name freely is made when the first of them joins: a child of a parent, which is a pattern or a
// function. Each instance makes its own children. Server.mu guards how children come and go.

// ErrParentNamespace says that something can be asked of one namespace only, not of all children of a parent (NSP-029).
var ErrParentNamespace = errors.New("socketio: not supported on parent namespaces")

// NamespaceFunc decides whether a client may have a namespace of that name made. An error is reported to OnError and means
// no. H is what the client sent; ctx ends when the Server gives up on its handlers.
type NamespaceFunc func(ctx context.Context, name string, h Handshake) (bool, error)

// ParentNamespace stands for namespaces whose names are not known beforehand. Its middlewares and handlers are those of all
// its children. An instance makes a child when a client that it is assigned names it; so each knows some of them, and what
// is done to the parent is done to all sockets of those that this instance knows. Safe for concurrent use.
type ParentNamespace struct {
	server  *Server
	pattern *regexp.Regexp // nil: decide says
	decide  NamespaceFunc

	// Guarded by server.mu; all but children fixed from Run on.
	middlewares []Middleware
	connection  []func(*Socket)
	children    []*Namespace
}

// OfRegexp returns a parent for the names in which the pattern is found, slash included: write ^/chat-[0-9]+$ to mean whole
// names (NSP-018). Of several parents the first that was added takes a name (NSP-030). A namespace that Of names exactly comes
// before. After Run the parent has no effect, and ErrRunning goes to OnError.
func (s *Server) OfRegexp(pattern *regexp.Regexp) *ParentNamespace {
	return s.addParent(&ParentNamespace{server: s, pattern: pattern})
}

// OfFunc returns a parent for the names that f allows (NSP-020). It is asked, on a goroutine of the client's, whenever a client
// wants a namespace that this instance has not made yet: who may join is for a middleware to say. See OfRegexp.
func (s *Server) OfFunc(f NamespaceFunc) *ParentNamespace {
	return s.addParent(&ParentNamespace{server: s, decide: f})
}

func (s *Server) addParent(p *ParentNamespace) *ParentNamespace {
	s.mu.Lock()
	late := s.phase != connected
	if !late {
		s.parents = append(s.parents, p)
	}
	s.mu.Unlock()
	if late {
		s.reports.put(fmt.Errorf("add a parent namespace: %w", ErrRunning))
	}
	return p
}

// OnNewNamespace adds a handler for namespaces that are made: by Of, except "/", and for clients (NSP-017). For those of
// clients it may add middlewares and handlers, and runs before the client's middlewares.
func (s *Server) OnNewNamespace(f func(*Namespace)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newcomers = append(s.newcomers[:len(s.newcomers):len(s.newcomers)], f)
}

// Use adds a connection middleware for the children made from now on; see Namespace.Use.
func (p *ParentNamespace) Use(m Middleware) error {
	return p.register(func() { p.middlewares = append(p.middlewares, m) })
}

// OnConnection adds a handler for sockets that joined a child made from now on; see Namespace.OnConnection.
func (p *ParentNamespace) OnConnection(f func(*Socket)) error {
	return p.register(func() { p.connection = append(p.connection, f) })
}

func (p *ParentNamespace) register(change func()) error {
	p.server.mu.Lock()
	late := p.server.phase != connected
	if !late {
		change()
	}
	p.server.mu.Unlock()
	if late {
		err := fmt.Errorf("add a handler to a parent namespace: %w", ErrRunning)
		p.server.reports.put(err)
		return err
	}
	return nil
}

// Children returns the namespaces that this instance has made; other instances may have made others.
func (p *ParentNamespace) Children() []*Namespace {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	return slices.Clone(p.children)
}

// Emit sends an event to every socket of every child that this instance knows, on all edges (NSP-019); a child that only other
// instances have made is not among them.
func (p *ParentNamespace) Emit(event string, args ...any) error { return p.all().Emit(event, args...) }

// Send is Emit of the event "message".
func (p *ParentNamespace) Send(args ...any) error { return p.all().Send(args...) }

// To selects the sockets of the children in any of the rooms.
func (p *ParentNamespace) To(rooms ...string) BroadcastOperator { return p.all().To(rooms...) }

// In is To.
func (p *ParentNamespace) In(rooms ...string) BroadcastOperator { return p.all().To(rooms...) }

// Except selects the sockets of the children in none of the rooms.
func (p *ParentNamespace) Except(rooms ...string) BroadcastOperator { return p.all().Except(rooms...) }

// Volatile selects every socket of the children, for packets that may be dropped.
func (p *ParentNamespace) Volatile() BroadcastOperator { return p.all().Volatile() }

// Compress selects every socket of the children, for packets that are compressed, or with false are not.
func (p *ParentNamespace) Compress(compress bool) BroadcastOperator {
	return p.all().Compress(compress)
}

// SocketsJoin puts the sockets of the children into rooms; see BroadcastOperator.SocketsJoin.
func (p *ParentNamespace) SocketsJoin(rooms ...string) error { return p.all().SocketsJoin(rooms...) }

// SocketsLeave takes the sockets of the children out of rooms; see BroadcastOperator.SocketsLeave.
func (p *ParentNamespace) SocketsLeave(rooms ...string) error { return p.all().SocketsLeave(rooms...) }

// DisconnectSockets disconnects the sockets of the children; see BroadcastOperator.DisconnectSockets.
func (p *ParentNamespace) DisconnectSockets(closeConnections bool) error {
	return p.all().DisconnectSockets(closeConnections)
}

// Timeout selects every socket of the children, and bounds what waits for answers.
func (p *ParentNamespace) Timeout(d time.Duration) BroadcastOperator { return p.all().Timeout(d) }

// Local selects the sockets of the children that this instance has.
func (p *ParentNamespace) Local() BroadcastOperator { return p.all().Local() }

// Count returns the number of sockets in the children that this instance knows; see BroadcastOperator.Count.
func (p *ParentNamespace) Count(ctx context.Context) (int, error) { return p.all().Count(ctx) }

func (p *ParentNamespace) all() BroadcastOperator { return BroadcastOperator{parent: p} }

// allows asks whether a client may have a namespace of that name.
func (p *ParentNamespace) allows(ctx context.Context, s *Socket) (yes bool) {
	if p.pattern != nil {
		return p.pattern.MatchString(s.ns.name)
	}
	err := guard(func() (err error) { yes, err = p.decide(ctx, s.ns.name, s.Handshake()); return err })
	if err != nil {
		p.server.reports.put(fmt.Errorf("decide over namespace %.80q: %w", s.ns.name, err))
		return false
	}
	return yes
}

// made ensures that the socket's namespace can be joined, and reports whether it can.
func (s *Socket) made(ctx context.Context) bool {
	server := s.ns.server
	server.mu.Lock()
	ready, parents := s.ns.ready, server.parents
	server.mu.Unlock()
	if ready {
		return true
	}
	for _, p := range parents {
		if p.allows(ctx, s) {
			return server.adopt(s.ns, p)
		}
	}
	return false
}

// adopt makes n a child of p, unless another client has had that done, and then waits until it is (NSP-022).
func (s *Server) adopt(n *Namespace, p *ParentNamespace) bool {
	s.mu.Lock()
	if making := n.making; making != nil {
		s.mu.Unlock()
		<-making
		return true
	}
	tell := s.birth(n, p)
	s.mu.Unlock()
	tell()
	return true
}

// birth makes n a child of p. The caller holds mu, and then calls tell, without it: until then n is not ready.
func (s *Server) birth(n *Namespace, p *ParentNamespace) (tell func()) {
	n.making = make(chan struct{})
	n.parent = p
	n.middlewares, n.connection = slices.Clone(p.middlewares), slices.Clone(p.connection)
	p.children = append(p.children[:len(p.children):len(p.children)], n)
	newcomers := s.newcomers
	return func() {
		defer func() { // also if a handler ends the goroutine
			s.mu.Lock()
			defer s.mu.Unlock()
			n.ready = true
			close(n.making)
		}()
		s.introduce(n, newcomers)
	}
}

// introduce shows a new namespace to the handlers that want to know.
func (s *Server) introduce(n *Namespace, newcomers []func(*Namespace)) {
	for _, f := range newcomers {
		if err := guard(func() error { f(n); return nil }); err != nil {
			s.reports.put(fmt.Errorf("introduce namespace %.80q: %w", n.name, err))
		}
	}
}

// release notes that a socket of n is gone, and forgets n if it is not needed any more.
func (s *Server) release(n *Namespace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n.sockets--
	if n.sockets > 0 || s.namespaces[n.name] != n || s.announced[n.name] == n {
		return
	}
	switch {
	case n.parent == nil && n.asked: // of a name that no parent wanted
		delete(s.namespaces, n.name)
	case n.parent != nil && n.ready && s.cfg.CleanupEmptyChildNamespaces:
		delete(s.namespaces, n.name)
		n.parent.children = slices.DeleteFunc(slices.Clone(n.parent.children), func(c *Namespace) bool { return c == n })
	}
}
