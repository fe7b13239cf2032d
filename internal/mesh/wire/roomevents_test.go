package wire

import "testing"

func TestUserRoom(t *testing.T) {
	for _, user := range []string{"", "u1", "\x00user\x00u1", "*"} {
		if room := UserRoom(user); !IsUserRoom(room) || room == user {
			t.Errorf("user %q: got room %q", user, room)
		}
	}
	for _, room := range []string{"", "user", "\x00", "\x00user", "a" + UserRoom("u1")} {
		if IsUserRoom(room) {
			t.Errorf("%q is the room of a user", room)
		}
	}
}
