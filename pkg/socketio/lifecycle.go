package socketio

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/siomesh/siomesh/internal/mesh"
)

// Run announces the namespaces and serves their sockets until ctx ends or Close is called. Then it drains: it takes no new
// sockets, lets running handlers finish, hands its sockets over, waits until what it did is confirmed, and says goodbye; all
// that for Config.DrainTimeout. A socket goes to another instance of the application, with its id, rooms and Data and with the
// events that no handler has begun with: the connection handlers run there (see Socket.HandedOver), and the client notices
// nothing. While there is no other instance, edges keep the socket for a while and hold what its client sends; then they
// close the connection, as they do with that of a socket whose handler does not return in time: its client sees "transport
// close" and comes back by itself. Such a handler's socket, and those of an edge that does not ask for them, are disconnected
// here with the reason "server shutting down".
//
// Run returns nil then, ErrDrain if handlers did not finish, why what it did was not confirmed, or why the mesh was lost. The
// Server is closed afterwards. The handlers' context has the values of ctx. That it serves, and why it stops, is logged.
func (s *Server) Run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	var err error
	if s.cfg.Embedded {
		if err = s.start(ctx); ctx.Err() != nil {
			err = nil // told to end before it began
		}
	}
	if err == nil {
		s.watchRooms()
		err = s.serve(ctx)
	}
	s.failure = s.drain(context.WithoutCancel(ctx), err == nil)
	if err == nil {
		err = s.failure
	}
	s.stop()
	if err != nil {
		return fmt.Errorf("run app %q: %w", s.cfg.App, err)
	}
	return nil
}

// serve announces the namespaces and waits for the end. It returns an error if that is the loss of the mesh.
func (s *Server) serve(ctx context.Context) (err error) {
	s.peers.Announce()
	s.mu.Lock()
	namespaces := len(s.announced) + len(s.parents)
	s.mu.Unlock()
	log := s.cfg.Log.With(slog.String("app", s.cfg.App), slog.String("instance", s.self.Instance.String()))
	log.Info("app serving", slog.Int("namespaces", namespaces))
	var reason string
	select {
	case <-ctx.Done():
		reason = "context ended"
	case <-s.closing:
		reason = "closed"
	case err = <-s.deaf:
		reason = "mesh lost"
	}
	log.Info("app stopping", slog.String("reason", reason), slog.Int("sockets", s.sockets.len()))
	return err
}

// begin fixes what is served.
func (s *Server) begin(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case connected:
	default:
		if s.closes || s.phase == closed {
			return ErrClosed
		}
		return ErrRunning
	}
	s.announced = map[string]*Namespace{}
	for _, name := range s.served() {
		s.announced[name] = s.namespaces[name]
		s.announced[name].ready = true
	}
	s.handlers, s.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	s.handing, s.keepRest = context.WithCancel(s.handlers)
	s.enter(running)
	return nil
}

// enter changes the phase. The caller holds mu.
func (s *Server) enter(p phase) {
	s.phase = p
	s.state.Store(int32(p))
}

// drain gives up the sockets, to other instances if the mesh is there, and lets what runs finish.
func (s *Server) drain(ctx context.Context, handsOver bool) error {
	s.mu.Lock()
	s.enter(draining)
	s.mu.Unlock()
	s.peers.Announce()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer cancel()
	if handsOver {
		s.handOverAll(ctx)
	}
	s.keepRest()
	for _, socket := range s.sockets.all(mesh.InstanceID{}) {
		socket.finish(Disconnect{Reason: ReasonServerShuttingDown}, drained)
	}
	if n := s.workers.wait(ctx); n > 0 {
		return fmt.Errorf("%w: those of %d sockets", ErrDrain, n)
	}
	s.out.forgetFailure()
	if err := s.out.flush(ctx); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// stop ends everything. Handlers that still run are told by their context, and left behind.
func (s *Server) stop() {
	s.mu.Lock()
	if s.phase == closed {
		s.mu.Unlock()
		return
	}
	s.enter(closed)
	s.mu.Unlock()
	s.giveUp()
	s.workers.close()
	s.out.close()
	s.leave() // presence says goodbye
	s.mesh.Wait()
	for _, socket := range s.sockets.all(mesh.InstanceID{}) {
		socket.finish(Disconnect{Reason: ReasonServerShuttingDown}, atOnce)
	}
	s.hangUp()
	s.hush()
	s.tell.Wait()
	close(s.done)
}

// Close ends Run and waits until it has returned, all that handlers did is confirmed, the sockets are handed over, or held
// by their edges if no other instance is left, and this instance has left the mesh; Run tells what clients see. It waits for
// acknowledgements that were asked of clients, too; those that do not come in time fail with ErrMoved. Without Run it waits until what was done is confirmed, at most for Config.DrainTimeout. It returns
// ErrDrain if handlers did not finish, or why what was done was not confirmed. If ctx ends before, Close returns its cause,
// handlers are told by their context, and Run still ends: it hands over the sockets of those that return then.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closes {
		s.closes = true
		close(s.closing)
	}
	idle := s.phase == connected
	if idle {
		s.enter(draining) // nobody else stops it now
	}
	s.mu.Unlock()
	if idle {
		s.failure = s.drain(context.WithoutCancel(ctx), false)
		s.stop()
		return s.failure
	}
	select {
	case <-s.done:
		return s.failure
	case <-ctx.Done():
		s.mu.Lock()
		giveUp := s.giveUp
		s.mu.Unlock()
		giveUp()
		return fmt.Errorf("close: %w", context.Cause(ctx))
	}
}
