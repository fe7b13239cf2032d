// Package demo is a chat: rooms, who is here, who is typing, private messages, and a page to use it with. It keeps no state
// outside its sockets, so any number of its instances serve one chat: newcomers are announced to everybody, and every page
// answers with its own person. Start reading at Register; what arrives from the page is in handlers.go.
package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// Namespace is where the chat is.
const Namespace = "/chat"

const (
	firstRoom   = "lobby"
	longestName = 24 // characters
	longestRoom = 32
	longestText = 2000
	shortestKey = 16 // bytes; the page sends 32
)

// person is somebody in the chat, as all others see them.
type person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Room string `json:"room"`
}

// message is what somebody said: to their room, or to one person.
type message struct {
	From person  `json:"from"`
	To   *person `json:"to,omitempty"`
	Text string  `json:"text"`
	At   int64   `json:"at"` // Unix milliseconds
}

// Everybody in a room of the chat is in the Socket.IO room "#name", and the sockets of a person are in "@id".
func inRoom(name string) string { return "#" + name }
func only(id string) string     { return "@" + id }

// Register adds the chat to io.
func Register(io *socketio.Server) error {
	n := io.Of(Namespace)
	return errors.Join(n.Use(admit), n.OnConnection(func(s *socketio.Socket) { enter(n, s) }))
}

// admit lets in who has a name. The key is the page's secret: its digest is the person's public id, so that one who
// reconnects is the same person, and nobody else can be.
func admit(_ context.Context, s *socketio.Socket) error {
	auth := s.Handshake().Auth
	name, ok := clean(auth.Get("name"), longestName)
	if !ok {
		return &socketio.ConnectError{Message: "A name has 1 to 24 characters.", Data: map[string]string{"field": "name"}}
	}
	if len(auth.Get("key")) < shortestKey {
		return &socketio.ConnectError{Message: "A key has at least 16 characters.", Data: map[string]string{"field": "key"}}
	}
	room, ok := clean(auth.Get("room"), longestRoom)
	if !ok {
		room = firstRoom
	}
	digest := sha256.Sum256([]byte(auth.Get("key")))
	me := person{ID: hex.EncodeToString(digest[:8]), Name: name, Room: room}
	return errors.Join(s.Data().Set("me", me), s.Join(inRoom(me.Room), only(me.ID)))
}

// clean trims a text, and reports whether it is one: neither empty, nor too long, nor with control characters in it.
func clean(text string, longest int) (string, bool) {
	text = strings.TrimSpace(text)
	ok := text != "" && utf8.ValidString(text) && utf8.RuneCountInString(text) <= longest
	return text, ok && !strings.ContainsFunc(text, unicode.IsControl)
}
