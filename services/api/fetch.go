package api

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// fetchRequest is what fetch takes.
type fetchRequest struct {
	target
	selection
	After  string   `json:"after"`  // only sockets with a higher id: next of the page before
	Limit  *int     `json:"limit"`  // most sockets in the answer; 100 if missing
	Fields []string `json:"fields"` // beside id and user: rooms, data, handshake; the first two if missing
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// fetched is what fetch answers.
type fetched struct {
	Sockets     []json.RawMessage `json:"sockets"`        // of socket, in the order of the ids
	Truncated   bool              `json:"truncated"`      // there are more
	Next        string            `json:"next,omitempty"` // the next page begins behind this id; there if there are more
	Unreachable []string          `json:"unreachable"`    // edges that did not answer in time, whose sockets are missing
}

// socket is one of them.
type socket struct {
	ID        string               `json:"id"`
	User      string               `json:"user,omitempty"`
	Rooms     []string             `json:"rooms,omitempty"`
	Data      *socketio.RemoteData `json:"data,omitempty"`
	Handshake *handshake           `json:"handshake,omitempty"`
}

// handshake has the names of Socket.IO.
type handshake struct {
	Headers map[string]authn.Values `json:"headers"` // by name in lower case
	Query   map[string]string       `json:"query"`
	Auth    json.RawMessage         `json:"auth,omitempty"` // what the client passed
	Address string                  `json:"address"`
	Secure  bool                    `json:"secure"`
	XDomain bool                    `json:"xdomain"`
	URL     string                  `json:"url"`
	Time    time.Time               `json:"time"`
	Issued  int64                   `json:"issued"` // the same in Unix milliseconds
}

func fetch(ctx context.Context, s *Service, request []byte) (any, error) {
	var q fetchRequest
	if err := decode(request, &q); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	limit := defaultLimit
	if q.Limit != nil {
		limit = *q.Limit
	}
	if limit < 1 || limit > maxLimit {
		return nil, invalid("limit must be from 1 to %d", maxLimit)
	}
	fields, err := q.wanted()
	if err != nil {
		return nil, err
	}
	return ask(ctx, s, &q.target, func(ctx context.Context, n *socketio.Namespace) (any, error) {
		return s.page(ctx, n, &q, fields, limit)
	})
}

func (q *fetchRequest) wanted() (fields socketio.Fields, err error) {
	if q.Fields == nil {
		return socketio.WithRooms | socketio.WithData, nil
	}
	for _, name := range q.Fields {
		switch name {
		case "rooms":
			fields |= socketio.WithRooms
		case "data":
			fields |= socketio.WithData
		case "handshake":
			fields |= socketio.WithHandshake
		default:
			return 0, invalid("fields has %.80q: want rooms, data, handshake", name)
		}
	}
	return fields, nil
}

func describeSocket(s *socketio.RemoteSocket, fields socketio.Fields) socket {
	one := socket{ID: s.ID(), User: s.User()}
	if fields&socketio.WithRooms != 0 {
		one.Rooms = s.Rooms()
	}
	if fields&socketio.WithData != 0 {
		data := s.Data()
		one.Data = &data
	}
	if fields&socketio.WithHandshake != 0 {
		h := s.Handshake()
		one.Handshake = &handshake{
			Headers: map[string]authn.Values{}, Query: h.Query, Auth: h.Auth.JSON(), Address: h.Address, Secure: h.Secure,
			XDomain: h.XDomain, URL: h.URL, Time: h.Time, Issued: h.Issued,
		}
		for name, values := range h.Headers {
			one.Handshake.Headers[strings.ToLower(name)] = values
		}
	}
	return one
}
