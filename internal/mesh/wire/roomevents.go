package wire

import "strings"

// What a room event tells. The body of ROOM_EVENTS is a list of threes: one of these, the room, and the public id of the
// socket.
const (
	RoomCreated = "c" // the socket joined as the first
	RoomJoined  = "j" // the socket joined
	RoomLeft    = "l" // the socket left
	RoomDeleted = "d" // the socket left as the last
	RoomsMissed = "!" // events before this one may be missing; no room, no socket
)

// Every user has a hidden room, in which all sockets are whose auth verdict names that user. Selectors name it like any room, but
// nobody joins or leaves it, and no list of rooms has it.
const userPrefix = "\x00user\x00"

// UserRoom returns the name of a user's hidden room.
func UserRoom(user string) string { return userPrefix + user }

// IsUserRoom reports whether a name is that of a user's hidden room.
func IsUserRoom(room string) bool { return strings.HasPrefix(room, userPrefix) }
