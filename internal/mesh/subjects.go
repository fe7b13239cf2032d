package mesh

import (
	"errors"
	"strings"
)

// Every NATS subject of the mesh is built in this file. The shape is a contract with other programs: changing it must show
// in the diff of TestSubjects.
//
//	sio.v1.auth.connect | .handshake | .events       request, queue "auth" | same | publish
//	sio.v1.app.<app>.<instance>.in.<from>            link  edge, rooms → app
//	sio.v1.rooms.<instance>.in.<from>                link  app, edge → rooms
//	sio.v1.edge.<edge>.in.<from>                     link  rooms, app, edge → edge
//	sio.v1.<kind>.<id>.rpc                           request
//	sio.v1.presence.<kind>.<name>                    publish  heartbeat
//	sio.v1.presence.who                              publish  everyone answers with a heartbeat at once
//	sio.v1.event.<app>.<event>                       request, queue group
//	sio.v1.api.<verb>                                request, NATS micro service

// DefaultPrefix is the first token of every subject unless configured otherwise.
const DefaultPrefix = "sio"

// AuthQueue is the queue group of auth services.
const AuthQueue = "auth"

// APIQueue is the queue group of API services.
const APIQueue = "api"

// MaxToken is the longest escaped token in bytes.
const MaxToken = 128

// ErrTokenTooLong says that a user's text does not fit one subject token.
var ErrTokenTooLong = errors.New("subject token too long")

// ErrPrefix says that a configured prefix cannot begin a subject.
var ErrPrefix = errors.New("subject prefix must be 1 to 32 of A-Z a-z 0-9 _ -")

// Subjects builds subjects under one prefix. The zero value uses DefaultPrefix. Safe for concurrent use.
type Subjects struct{ prefix string }

// NewSubjects returns the subjects under prefix ("" is DefaultPrefix), which must be one plain token.
func NewSubjects(prefix string) (Subjects, error) {
	if prefix == "" {
		return Subjects{}, nil
	}
	if len(prefix) > 32 || strings.ContainsFunc(prefix, func(r rune) bool { return r > 0x7f || r == ':' || !plain(byte(r)) }) {
		return Subjects{}, ErrPrefix
	}
	return Subjects{prefix: prefix}, nil
}

// Prefix returns the first token of all subjects.
func (s Subjects) Prefix() string {
	if s.prefix == "" {
		return DefaultPrefix
	}
	return s.prefix
}

func (s Subjects) root() string { return s.Prefix() + ".v1." }

// AuthConnect is asked before a client joins a namespace.
func (s Subjects) AuthConnect() string { return s.root() + "auth.connect" }

// AuthHandshake is asked before a client opens a session, where that is configured.
func (s Subjects) AuthHandshake() string { return s.root() + "auth.handshake" }

// AuthEvents carries revocations and refreshes from the auth service to the edges.
func (s Subjects) AuthEvents() string { return s.root() + "auth.events" }

// In is where an instance receives the link of a sender. From says which role sends: see From.
func (s Subjects) In(to Address, from string) string { return s.instance(to) + ".in." + from }

// InAll is the subscription of an instance to the links of all its senders.
func (s Subjects) InAll(to Address) string { return s.instance(to) + ".in.*" }

// RPC is where an instance answers requests.
func (s Subjects) RPC(to Address) string {
	return s.root() + string(to.Kind) + "." + to.Instance.String() + ".rpc"
}

// Presence is where an instance announces itself: name is the app's name, or the kind again for services.
func (s Subjects) Presence(kind Kind, name string) string {
	return s.root() + "presence." + string(kind) + "." + name
}

// PresenceAll is the subscription to everybody's heartbeats.
func (s Subjects) PresenceAll() string { return s.root() + "presence.*.*" }

// Who asks every instance for a heartbeat at once.
func (s Subjects) Who() string { return s.root() + "presence.who" }

// Event is where an app without SDK answers one event. The event's name is user text and escaped here.
func (s Subjects) Event(app, event string) (string, error) {
	token, err := Escape(event)
	if err != nil {
		return "", err
	}
	return s.root() + "event." + app + "." + token, nil
}

// API is where the mesh serves one verb of its JSON interface.
func (s Subjects) API(verb string) string { return s.root() + "api." + verb }

func (s Subjects) instance(a Address) string {
	if a.Kind == KindApp {
		return s.root() + "app." + a.App + "." + a.Instance.String()
	}
	return s.root() + string(a.Kind) + "." + a.Instance.String()
}

// From is the last token of a link's subject: the sender's role, and for apps their name, so that ordinary NATS permissions
// say who may send what.
func From(a Address) string {
	if a.Kind == KindApp {
		return "app-" + a.App
	}
	return string(a.Kind)
}

// FromOf is the inverse of From on a whole subject: the role, and the app's name, that its last token stands for.
func FromOf(subject string) (Kind, string) {
	token := subject[strings.LastIndexByte(subject, '.')+1:]
	if app, ok := strings.CutPrefix(token, "app-"); ok {
		return KindApp, app
	}
	return Kind(token), ""
}

// Escape makes one subject token of user text: every byte outside [A-Za-z0-9_:-] becomes %XX, an empty text is "%".
func Escape(text string) (string, error) {
	if text == "" {
		return "%", nil
	}
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
		if b.Len() > MaxToken {
			return "", ErrTokenTooLong
		}
	}
	return b.String(), nil
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == ':' || c == '-'
}
