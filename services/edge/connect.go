package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// refusal is a decision that the client may not join; it becomes the CONNECT_ERROR packet, after which stock clients do not
// try again by themselves.
type refusal struct {
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func (r *refusal) Error() string { return r.Message }

// invalidNamespace is the reference's message for a namespace that does not exist (NSP-005).
const invalidNamespace = "Invalid namespace"

// maxNamespace is the longest name of a namespace in bytes.
const maxNamespace = 1024

// unavailable says that something a CONNECT needs is missing for the moment: try again once retry is closed, or later.
type unavailable struct {
	what  string
	retry <-chan struct{}
}

func (u *unavailable) Error() string { return u.what + " unavailable" }

// connect reacts to a CONNECT packet: the socket is made at once, the rest happens while the client's other packets go on;
// mu is held.
func (c *conn) connect(b *link.Batch, p protocol.Packet) {
	ctx, cancel := context.WithTimeout(context.Background(), c.s.cfg.AppWait)
	tooMany := len(c.sockets) >= c.s.cfg.MaxNamespaces
	if c.find(p.Namespace) != nil || tooMany || c.closed { // a second CONNECT for a namespace: NSP-011
		cancel()
		c.invalidState(b)
		return
	}
	sk := &socket{
		conn: c, namespace: bytes.Clone(p.Namespace), id: c.socketID(p.Namespace),
		auth: bytes.Clone(p.Data), cancel: cancel,
	}
	c.comeBack(sk.namespace)
	c.s.table.add(sk)
	c.sockets = append(c.sockets, sk)
	if !c.s.tasks.start(func() { defer cancel(); c.s.join(ctx, sk) }) {
		cancel()
		c.end(b, sk, reasonShutdown, "")
	}
}

// maxAssignments is how many instances a socket may be given to that are lost before they answer.
const maxAssignments = 3

// join takes a socket to an app instance, or tells the client why not. While auth, the app or rooms are missing it tries
// again until ctx ends: refusing would keep stock clients away for good.
func (s *Service) join(ctx context.Context, sk *socket) {
	wait := &unavailable{what: "app"}
	sk.conn.mu.Lock()
	again := int(sk.epoch) - len(sk.declined)
	sk.conn.mu.Unlock()
	if again >= maxAssignments {
		s.giveUp(sk, wait)
		return
	}
	for pause := again > 0; ; pause = true {
		if pause && !s.pause(ctx, wait.retry) {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				s.giveUp(sk, wait)
			}
			return
		}
		err := s.attempt(ctx, sk)
		var refused *refusal
		switch {
		case err == nil:
			return
		case errors.As(err, &refused):
			s.refuse(sk, refused)
			return
		case !errors.As(err, &wait):
			s.log.Error("connect failed", slog.Any("err", err))
			s.refuse(sk, &refusal{Message: "internal error"})
			return
		}
	}
}

// pause waits until retry is closed, for some 200 ms at most, and returns false when ctx ends first.
func (s *Service) pause(ctx context.Context, retry <-chan struct{}) bool {
	jitter := time.NewTimer(100*time.Millisecond + rand.N(200*time.Millisecond)) //nolint:gosec // spreads retries
	defer jitter.Stop()
	select {
	case <-retry:
	case <-jitter.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// attempt does everything that has to come before an app instance can decide.
func (s *Service) attempt(ctx context.Context, sk *socket) error {
	if len(sk.namespace) > maxNamespace {
		return &refusal{Message: invalidNamespace}
	}
	if retry, ok := s.registered(); !ok {
		return &unavailable{"rooms", retry}
	}
	select {
	case <-s.peers.Heard():
	default:
		return &unavailable{"presence", s.peers.Heard()}
	}
	namespace := string(sk.namespace)
	sk.conn.mu.Lock()
	declined := sk.declined
	sk.conn.mu.Unlock()
	if _, is, changed := s.apps.choose(namespace, declined); is == waiting {
		return &unavailable{"app", changed}
	} else if is == unknown {
		return &refusal{Message: invalidNamespace}
	}
	if err := s.authenticate(ctx, sk); err != nil {
		return err
	}
	chosen, is, changed := s.apps.choose(namespace, declined)
	if is != served {
		return &unavailable{"app", changed}
	}
	return s.assign(sk, chosen)
}

// authenticate asks auth once; the verdict stays with the socket.
func (s *Service) authenticate(ctx context.Context, sk *socket) error {
	sk.conn.mu.Lock()
	verdict := sk.verdict
	sk.conn.mu.Unlock()
	if verdict != nil {
		return nil
	}
	request, err := authRequest(sk)
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, s.cfg.AuthTimeout)
	defer cancel()
	verdict, err = authn.Ask(asking, s.bus, s.names, request)
	switch {
	case errors.Is(err, authn.ErrUnavailable):
		s.cfg.Metrics.auth(authUnavailable)
		s.unheard(&s.silentConnects, s.names.AuthConnect(), "CONNECTs are held, then given up", err, ctx)
		return &unavailable{what: "auth"}
	case errors.Is(err, bus.ErrTooLarge):
		s.cfg.Metrics.auth(authTooLarge)
		return &refusal{Message: "auth payload too large"}
	case err != nil:
		s.cfg.Metrics.auth(authUnreadable)
		s.log.Warn("auth verdict unusable", slog.Any("err", err))
		return &refusal{Message: authn.Unavailable}
	case !verdict.Allow:
		s.cfg.Metrics.auth(authRefused)
		return &refusal{Message: verdict.Message, Data: verdict.Data}
	}
	s.cfg.Metrics.auth(authAllowed)
	sk.conn.mu.Lock()
	defer sk.conn.mu.Unlock()
	return sk.conn.permit(sk, verdict)
}

// assign gives the socket to an app instance and sends it the connect record.
func (s *Service) assign(sk *socket, app *appInstance) error {
	c := sk.conn
	connect, err := connectOf(sk)
	if err != nil {
		return err
	}
	c.mu.Lock()
	verdict := sk.verdict
	c.mu.Unlock()
	data, err := firstData(verdict.Data)
	if err != nil {
		return err
	}
	connect.Data, connect.User, connect.Rooms = verdict.Data, verdict.User, verdict.Rooms
	body, err := proto.Marshal(connect)
	if err != nil {
		return fmt.Errorf("encode connect: %w", err)
	}
	var b link.Batch
	defer b.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	if sk.state != joining {
		return nil // the client left meanwhile
	}
	if retry, ok := s.registered(); !ok { // again, as whoever loses rooms closes the sockets that were asked for before
		return &unavailable{"rooms", retry}
	}
	if app.draining.Load() {
		return &unavailable{what: "app"}
	}
	sk.app, sk.epoch, sk.flow, sk.data = app, sk.epoch+1, flow{}, data
	if err := sk.send(&b, &parcel{kind: wire.KindConnect, body: body}); err != nil {
		sk.app, sk.epoch = nil, sk.epoch-1
		return &unavailable{what: "app"}
	}
	sk.state = asked
	app.assigned.Add(1)
	return nil
}

// firstData is the socket.data that the verdict gives.
func firstData(object json.RawMessage) (map[string][]byte, error) {
	if len(bytes.TrimSpace(object)) == 0 {
		return nil, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, fmt.Errorf("decode data of the verdict: %w", err)
	}
	data := make(map[string][]byte, len(members))
	for key, value := range members {
		data[key] = value
	}
	return data, nil
}

// refuse answers a CONNECT with CONNECT_ERROR; the connection stays open for other namespaces.
func (s *Service) refuse(sk *socket, r *refusal) {
	c := sk.conn
	var b link.Batch
	c.mu.Lock()
	if sk.state != ending {
		c.send(protocol.Packet{Type: protocol.ConnectError, Namespace: sk.namespace, Data: c.refusal(r)})
		s.cfg.Metrics.refused()
		c.end(&b, sk, "", "")
	}
	c.mu.Unlock()
	b.Flush()
}

// giveUp ends a CONNECT that was held too long: the connection is closed, so that the client comes back with its own
// back-off; if it has other namespaces it is told instead.
func (s *Service) giveUp(sk *socket, wait *unavailable) {
	if sk.conn.leaveTogether(sk) {
		return
	}
	s.refuse(sk, &refusal{Message: "service unavailable", Data: json.RawMessage(`{"retry":true}`)})
	s.cfg.Metrics.unavailable()
	s.log.Debug("connect given up", slog.Any("err", wait))
}

// leaveTogether closes the connection if it is in no namespace, and reports whether nothing is left to be done for the
// socket.
func (c *conn) leaveTogether(sk *socket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sk.state != joining {
		return true
	}
	for _, other := range c.sockets {
		if other.state != joining {
			return false
		}
	}
	c.s.cfg.Metrics.unavailable()
	c.session.Discard(engine.TransportClose)
	return true
}
