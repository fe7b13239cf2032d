package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Codes of a refused request, as clients see them.
const (
	CodeUnknownTransport = iota
	CodeUnknownSession
	CodeBadMethod
	CodeBadRequest
	CodeForbidden
	CodeUnsupportedVersion
)

// codeMessage returns the standard message of a code, and whether there is such a code.
func codeMessage(code int) (string, bool) {
	messages := [...]string{
		CodeUnknownTransport:   "Transport unknown",
		CodeUnknownSession:     "Session ID unknown",
		CodeBadMethod:          "Bad handshake method",
		CodeBadRequest:         "Bad request",
		CodeForbidden:          "Forbidden",
		CodeUnsupportedVersion: "Unsupported protocol version",
	}
	if code < 0 || code >= len(messages) {
		return "", false
	}
	return messages[code], true
}

// Refusal is an error that says how a handshake is refused: Code is one of the Code
// constants (anything else counts as CodeBadRequest), Message replaces the code's
// standard message if not empty. Code 4 is answered with HTTP status 403 on polling,
// the others with 400, unless Status says otherwise. RetryAfter, in whole seconds, tells the
// client when to come again.
//
//nolint:errname // it is named for what it does; it is an error only on its way through Accept
type Refusal struct {
	Code       int
	Message    string
	Status     int
	RetryAfter time.Duration

	context map[string]any // for Config.OnConnectionError
}

// Error returns the message that the client gets.
func (e *Refusal) Error() string {
	if e.Message != "" {
		return e.Message
	}
	msg, _ := codeMessage(e.normalized())
	return msg
}

func (e *Refusal) normalized() int {
	if _, ok := codeMessage(e.Code); !ok {
		return CodeBadRequest
	}
	return e.Code
}

// badRequest returns a refusal with code 3 whose context carries the reference's name for it.
func badRequest(name string, more ...any) *Refusal {
	ctx := map[string]any{"name": name}
	for i := 0; i+1 < len(more); i += 2 {
		ctx[fmt.Sprint(more[i])] = more[i+1]
	}
	return &Refusal{Code: CodeBadRequest, context: ctx}
}

func unknownSession(sid SessionID) *Refusal {
	return &Refusal{Code: CodeUnknownSession, context: map[string]any{"sid": string(sid)}}
}

// refuse answers a request that cannot be served. A WebSocket handshake is refused before
// the 101, with status 400 and the bare message; polling gets the code as JSON.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, e *Refusal) {
	code := e.normalized()
	s.cfg.Metrics.refusal(code)
	if f := s.cfg.OnConnectionError; f != nil {
		standard, _ := codeMessage(code)
		f(r, code, standard, e.context)
	}
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	h := w.Header()
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	if isUpgrade(r) {
		h.Set("Connection", "close")
		h.Set("Content-Type", "text/html")
		h.Set("Content-Length", strconv.Itoa(len(e.Error())))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(e.Error())) // a client that is gone needs no answer
		return
	}
	if code == CodeForbidden && e.Status == 0 {
		status = http.StatusForbidden
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // as JSON.stringify
	if err := enc.Encode(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{code, e.Error()}); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	b := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
