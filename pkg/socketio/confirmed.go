package socketio

import (
	"context"
	"fmt"
	"strings"
)

// Confirmed calls f with a namespace, and waits until what f did to it is confirmed: applied by the edges concerned. It is Flush
// for one piece of work beside others, and it keeps nothing of the namespace, so that a program may send to any number of them:
// f must not keep it, nor add handlers. Operations of f wait no longer than ctx, or Config.EmitTimeout without a deadline. If f
// fails, its error is returned at once. ErrLost means that operations of this Server were lost meanwhile, perhaps those of f;
// ErrTimeout, or the cause of ctx, that they are not confirmed yet.
func (s *Server) Confirmed(ctx context.Context, namespace string, f func(*Namespace) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	ctx, cancel := s.patient(ctx)
	defer cancel()
	if !strings.HasPrefix(namespace, "/") {
		namespace = "/" + namespace
	}
	n := newNamespace(s, namespace)
	n.work = ctx
	p := &s.out.parts[n.partition]
	before := p.losses.Load()
	if err := f(n); err != nil {
		return err
	}
	if err := s.out.settled(ctx, n.partition); err != nil {
		return err
	}
	if p.losses.Load() != before {
		return fmt.Errorf("%w: in the partition of namespace %.80q", ErrLost, n.name)
	}
	return nil
}

// context returns what bounds an operation on the namespace, beside Config.EmitTimeout.
func (n *Namespace) context() context.Context {
	if n.work != nil {
		return n.work
	}
	return context.Background()
}
