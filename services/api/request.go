package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// Every request is one JSON object, snake_case. What is misspelt is refused: a selection that loses a field by a slip would be
// everybody.
//
//	{"namespace":"/","rooms":[…],"ids":[…],"users":[…],"except":[…],"except_users":[…],"timeout":4000, …}

// target is what every request has.
type target struct {
	Namespace string `json:"namespace"` // "/" if missing
	Timeout   int    `json:"timeout"`   // milliseconds; Config.Timeout if missing
}

// selection is which sockets a request is about: those in any of the rooms, with any of the ids, of any of the users; all if none
// of the three is there. Empty lists are refused: who has nobody to name means nobody.
type selection struct {
	Rooms       []string `json:"rooms"`
	IDs         []string `json:"ids"`
	Users       []string `json:"users"`
	Except      []string `json:"except"`
	ExceptUsers []string `json:"except_users"`
}

// invalidError is what is wrong with a request; its text is for whoever sent it.
type invalidError struct{ text string }

// Error returns the text.
func (e *invalidError) Error() string { return e.text }

func invalid(format string, args ...any) error { return &invalidError{fmt.Sprintf(format, args...)} }

// decode reads a request into q, which must be a pointer to a struct.
func decode(data []byte, q any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}") // `nats req sio.v1.api.count ''`
	}
	if !utf8.Valid(data) {
		return invalid("the request is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil {
		return invalid("the request is not understood: %v", describe(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("the request is not understood: something follows the JSON object")
	}
	return nil
}

// describe is an error of encoding/json without the names of Go types.
func describe(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		name := wrong.Field[strings.LastIndexByte(wrong.Field, '.')+1:]
		return fmt.Errorf("%s is no value for %q", wrong.Value, name)
	}
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s is not an object", wrong.Value)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON ends too early")
	}
	return err
}

// bounded returns ctx with the deadline of the request, and checks what every request has.
func (s *Service) bounded(ctx context.Context, t *target) (context.Context, context.CancelFunc, error) {
	if t.Namespace == "" {
		t.Namespace = "/"
	}
	if t.Namespace[0] != '/' {
		return nil, nil, invalid("namespace %.80q does not begin with a slash", t.Namespace)
	}
	timeout := time.Duration(t.Timeout) * time.Millisecond
	switch {
	case t.Timeout == 0:
		timeout = s.cfg.Timeout
	case t.Timeout < 0 || t.Timeout > int(s.cfg.MaxTimeout/time.Millisecond):
		return nil, nil, invalid("timeout must be from 1 to %d milliseconds", s.cfg.MaxTimeout/time.Millisecond)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, socketio.ErrTimeout)
	return ctx, cancel, nil
}

// check refuses empty lists.
func (q *selection) check() error {
	for name, list := range map[string][]string{
		"rooms": q.Rooms, "ids": q.IDs, "users": q.Users, "except": q.Except, "except_users": q.ExceptUsers,
	} {
		if list != nil && len(list) == 0 {
			return invalid("%s is empty: leave it out to select without it", name)
		}
	}
	for _, user := range append(q.Users[:len(q.Users):len(q.Users)], q.ExceptUsers...) {
		if user == "" {
			return invalid("a user is empty")
		}
	}
	return nil
}

// of selects sockets of a namespace.
func (q *selection) of(n *socketio.Namespace) socketio.BroadcastOperator {
	return n.To(q.Rooms...).To(q.IDs...).ToUser(q.Users...).Except(q.Except...).ExceptUser(q.ExceptUsers...)
}
