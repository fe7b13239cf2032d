// Package mesh holds what every service of the mesh must agree on: who an instance is and which NATS subject reaches it.
//
// The packages below it build on that: wire is the bytes of records and frames, bus moves messages (inside the process or
// over NATS), link makes an ordered, loss-free stream of records out of a bus, presence tells who is alive. Start reading
// at subjects.go.
package mesh

import (
	"crypto/rand"
	"fmt"
	"regexp"
)

// Kind is a role in the mesh. It is the second token of most subjects.
type Kind string

// The roles.
const (
	KindEdge  Kind = "edge"
	KindRooms Kind = "rooms"
	KindApp   Kind = "app"
	KindAuth  Kind = "auth"
)

// InstanceID names one start of one role in one process: 10 base62 characters, new at every start, so that nothing sent
// to an earlier life can reach a later one. It is one subject token as it stands. An array, so that addresses of sockets
// hold no pointer, compare fast and are read off the wire without allocating. The zero value is no instance.
type InstanceID [InstanceIDLen]byte

// InstanceIDLen is the length of every InstanceID.
const InstanceIDLen = 10

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewInstanceID returns a fresh random id (59 bits).
func NewInstanceID() InstanceID {
	var random [InstanceIDLen * 2]byte
	var id InstanceID
	for n := 0; n < InstanceIDLen; {
		rand.Read(random[:]) // never fails
		for _, b := range random {
			if b < 248 && n < InstanceIDLen { // 248 = 4×62: no bias
				id[n] = base62[b%62]
				n++
			}
		}
	}
	return id
}

// ParseInstanceID returns the id that text is, as String writes it.
func ParseInstanceID(text string) (InstanceID, error) {
	var id InstanceID
	if len(text) != InstanceIDLen {
		return InstanceID{}, fmt.Errorf("instance id %.40q: want %d base62 characters", text, InstanceIDLen)
	}
	copy(id[:], text)
	if !id.Valid() {
		return InstanceID{}, fmt.Errorf("instance id %.40q: want %d base62 characters", text, InstanceIDLen)
	}
	return id, nil
}

// String returns the id as text; the zero value is empty.
func (id InstanceID) String() string {
	if id.IsZero() {
		return ""
	}
	return string(id[:])
}

// IsZero reports whether id is the zero value: no instance.
func (id InstanceID) IsZero() bool { return id == InstanceID{} }

// Valid reports whether id has the form of an instance id, so that it may stand in a subject.
func (id InstanceID) Valid() bool {
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// Address is where an instance is reached. App is the app's name for KindApp and empty otherwise.
type Address struct {
	Kind     Kind
	App      string
	Instance InstanceID
}

// Partitions is the number of partitions that namespaces are hashed to; a constant of version 1 of the contract.
const Partitions = 64

// Partition returns the partition of a namespace, whose name begins with a slash: 32-bit FNV-1a modulo 64.
func Partition(namespace string) uint8 {
	hash := uint32(2166136261)
	for i := range len(namespace) {
		hash = (hash ^ uint32(namespace[i])) * 16777619
	}
	return uint8(hash % Partitions)
}

// ValidAppName reports whether name may name an app: [a-z0-9-]{1,32}.
func ValidAppName(name string) error {
	if !appName.MatchString(name) {
		return fmt.Errorf("app name %.40q: want 1 to 32 of a-z, 0-9 and -", name)
	}
	return nil
}

var appName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
