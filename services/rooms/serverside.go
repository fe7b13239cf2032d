package rooms

import (
	"fmt"
	"regexp"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Events between app instances pass the owner of the namespace's partition, which knows which instances serve the namespace. They
// concern no edge, so they are confirmed at once.

// serverEmit passes an event on to every other instance that serves the namespace, and tells the sender which these are.
func (s *Service) serverEmit(p *progress, r *wire.Record) {
	var targets []string
	for _, app := range s.peers.Live(mesh.KindApp) {
		if app.Instance == p.origin.addr.Instance || !s.patterns.serves(app.Info, string(r.Namespace)) {
			continue
		}
		event := wire.Record{Kind: wire.KindServerEvent, Namespace: r.Namespace, Origin: r.Origin, Ack: r.Ack, Body: r.Body}
		if err := s.batch.Append(s.links.Link(app.Address), &event); err != nil {
			s.toApp(p.origin, &wire.Record{
				Kind: wire.KindOpFailed, Flags: wire.FlagControl, Partition: p.partition, PartitionEpoch: s.epoch, Op: r.Op,
				Body: fmt.Append(nil, "instance ", app.Instance, ": ", err),
			})
		}
		targets = append(targets, app.Instance.String())
	}
	if r.Ack != 0 {
		s.toApp(p.origin, &wire.Record{
			Kind: wire.KindServerTargets, Flags: wire.FlagControl, Namespace: r.Namespace, Ack: r.Ack, Body: wire.AppendStrings(nil, targets),
		})
	}
}

// serverReply passes an answer on to the instance that asked, if it is still there.
func (s *Service) serverReply(r *wire.Record) error {
	text, packet, err := wire.ReadReply(r.Body)
	if err != nil {
		return fmt.Errorf("server reply: %w", err)
	}
	id, err := mesh.ParseInstanceID(text)
	if err != nil {
		return fmt.Errorf("server reply: %w", err)
	}
	if asker, ok := s.app(id); ok {
		s.append(s.links.Link(asker), &wire.Record{
			Kind: wire.KindServerAnswer, Namespace: r.Namespace, Origin: r.Origin, Ack: r.Ack, Body: packet,
		})
	}
	return nil
}

// app returns where an app instance listens, by its operations, which may be here before its first heartbeat, or by that.
func (s *Service) app(id mesh.InstanceID) (at mesh.Address, known bool) {
	if o := s.origins[id]; o != nil && o.addr.App != "" {
		return o.addr, true
	}
	p, known := s.peers.Peer(id)
	return p.Address, known && p.Kind == mesh.KindApp
}

// patterns are those that apps announce for namespaces, compiled once: operations wait while rooms looks for one.
type patterns struct{ compiled map[string]*regexp.Regexp } // nil: it is no pattern

// maxPatterns is how many are kept.
const maxPatterns = 1024

// serves reports whether an app instance serves a namespace, or may do so. One that drains does not: it handles no more events.
func (p *patterns) serves(info *siomeshv1.Presence, namespace string) bool {
	if info.GetDraining() {
		return false
	}
	for _, n := range info.GetNamespaces() {
		if n.GetName() == namespace || n.GetDynamic() {
			return true
		}
		if pattern := n.GetPattern(); pattern != "" && p.found(pattern, namespace) {
			return true
		}
	}
	return false
}

func (p *patterns) found(pattern, namespace string) bool {
	r, known := p.compiled[pattern]
	if !known {
		if p.compiled == nil || len(p.compiled) >= maxPatterns {
			p.compiled = map[string]*regexp.Regexp{}
		}
		r, _ = regexp.Compile(pattern)
		p.compiled[pattern] = r
	}
	return r != nil && r.MatchString(namespace)
}
