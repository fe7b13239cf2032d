package micro

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// control answers what a service is, and how it does.
func (s *Service) control() (subscriptions []*nats.Subscription, err error) {
	for verb, describe := range map[micro.Verb]func() any{micro.PingVerb: s.ping, micro.InfoVerb: s.info, micro.StatsVerb: s.statistics} {
		for _, who := range [][2]string{{}, {s.cfg.Name}, {s.cfg.Name, s.id}} {
			subject, err := micro.ControlSubject(verb, who[0], who[1])
			if err != nil {
				return subscriptions, fmt.Errorf("subject of %v: %w", verb, err)
			}
			sub, err := s.conn.Subscribe(subject, func(m *nats.Msg) { s.describe(m, describe()) })
			if err != nil {
				return subscriptions, fmt.Errorf("subscribe to %s: %w", subject, err)
			}
			subscriptions = append(subscriptions, sub)
		}
	}
	return subscriptions, nil
}

func (s *Service) describe(m *nats.Msg, description any) {
	if m.Reply == "" {
		return
	}
	data, err := json.Marshal(description)
	if err == nil {
		err = s.conn.Publish(m.Reply, data)
	}
	if err != nil {
		s.log.Warn("answer cannot be sent", slog.String("subject", m.Subject), slog.Any("err", err))
	}
}

func (s *Service) identity() micro.ServiceIdentity {
	return micro.ServiceIdentity{Name: s.cfg.Name, ID: s.id, Version: s.cfg.Version, Metadata: metadata(s.cfg.Metadata)}
}

// metadata is an object in JSON, also if there is none.
func metadata(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}

func (s *Service) ping() any {
	return micro.Ping{ServiceIdentity: s.identity(), Type: micro.PingResponseType}
}

func (s *Service) info() any {
	info := micro.Info{
		ServiceIdentity: s.identity(), Type: micro.InfoResponseType, Description: s.cfg.Description, Endpoints: []micro.EndpointInfo{},
	}
	for _, e := range s.cfg.Endpoints {
		info.Endpoints = append(info.Endpoints, micro.EndpointInfo{
			Name: e.Name, Subject: e.Subject, QueueGroup: s.cfg.Queue, Metadata: metadata(e.Metadata),
		})
	}
	return info
}

func (s *Service) statistics() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := micro.Stats{ServiceIdentity: s.identity(), Type: micro.StatsResponseType, Started: s.started, Endpoints: []*micro.EndpointStats{}}
	for _, e := range s.cfg.Endpoints {
		one := *s.stats[e.Name]
		stats.Endpoints = append(stats.Endpoints, &one)
	}
	return stats
}
