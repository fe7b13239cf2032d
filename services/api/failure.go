package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/siomesh/siomesh/internal/mesh/micro"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// code is a kind of failure, by the name that programs branch on.
type code string

// The codes.
const (
	invalidRequest code = "invalid_request" // the request is wrong; the message says how
	reservedEvent  code = "reserved_event"  // the event's name has a meaning of its own
	reservedRoom   code = "reserved_room"   // the room's name has
	tooLarge       code = "too_large"       // what is to be sent, or the answer
	busy           code = "busy"            // too many requests, or too much unconfirmed
	timeout        code = "timeout"         // what was done may have been done
	unavailable    code = "unavailable"     // no rooms service, or this one is stopping; nothing was done
	lost           code = "lost"            // what was done may have been done
	internal       code = "internal"
)

// status is the number that the header of NATS micro services has beside the code, after those of HTTP.
func (c code) status() int {
	switch c {
	case invalidRequest, reservedEvent, reservedRoom:
		return 400
	case tooLarge:
		return 413
	case busy:
		return 429
	case unavailable:
		return 503
	case timeout:
		return 504
	case lost, internal:
	}
	return 500
}

// failure is what the asker gets instead of a result.
type failure struct {
	Code    code   `json:"code"`
	Message string `json:"message"`
}

// Error returns the message.
func (f *failure) Error() string { return f.Message }

// failureOf says what an error is to the asker.
func failureOf(err error) *failure {
	var (
		known    *failure
		wrong    *invalidError
		reserved *socketio.ReservedEventError
	)
	c := internal
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &wrong):
		c = invalidRequest
	case errors.As(err, &reserved):
		c = reservedEvent
	case errors.Is(err, socketio.ErrReservedRoom):
		c = reservedRoom
	case errors.Is(err, socketio.ErrTooLarge):
		c = tooLarge
	case errors.Is(err, socketio.ErrEncode):
		c = invalidRequest
	case errors.Is(err, socketio.ErrWindowFull), errors.Is(err, socketio.ErrDropped):
		c = busy
	case errors.Is(err, socketio.ErrNoRooms), errors.Is(err, socketio.ErrClosed), errors.Is(err, context.Canceled):
		c = unavailable
	case errors.Is(err, socketio.ErrLost):
		c = lost
	case errors.Is(err, socketio.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		c = timeout
	}
	return &failure{Code: c, Message: strings.ToValidUTF8(err.Error(), "\uFFFD")}
}

// answer encodes and counts the outcome of a request.
func (s *Service) answer(verb string, result any, err error) micro.Answer {
	var data []byte
	if err == nil {
		data, err = json.Marshal(result)
	}
	if err == nil && len(data) > s.micro.Limit() {
		err = &failure{Code: tooLarge, Message: fmt.Sprintf("the answer has %d bytes, NATS takes %d: ask for less", len(data), s.micro.Limit())}
	}
	if err == nil {
		s.cfg.Metrics.count(verb, "ok")
		return micro.Answer{Data: data}
	}
	f := failureOf(err)
	s.cfg.Metrics.count(verb, f.Code)
	if f.Code == internal {
		s.log.Warn("api request failed", slog.String("verb", verb), slog.Any("err", err))
	}
	data, err = json.Marshal(struct {
		Error *failure `json:"error"`
	}{f})
	if err != nil {
		s.log.Error("api answer cannot be encoded", slog.Any("err", err))
	}
	return micro.Answer{Data: data, Code: f.Code.status(), Error: oneLine(f.Message)}
}

// oneLine is text for a header.
func oneLine(text string) string {
	const most = 256
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' }), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}
