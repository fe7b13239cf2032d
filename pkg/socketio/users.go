package socketio

import (
	"context"
	"errors"
	"fmt"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// The sockets of a user - all whose auth verdict names that user - are selected like those of a room. Nobody can join or leave:
// the verdict alone decides.

// ErrReservedRoom says that a room's name begins like those that the mesh keeps for itself: "\x00user\x00".
var ErrReservedRoom = errors.New("socketio: reserved room name")

// ToUser adds the sockets of users, as the auth verdicts named them: a socket is selected if it is one of a user's, or in a room
// of To. "" is no user.
func (b BroadcastOperator) ToUser(users ...string) BroadcastOperator {
	return b.To(userRooms(users)...)
}

// ExceptUser adds users whose sockets are not selected.
func (b BroadcastOperator) ExceptUser(users ...string) BroadcastOperator {
	return b.Except(userRooms(users)...)
}

// ToUser selects the sockets of users; see BroadcastOperator.ToUser.
func (n *Namespace) ToUser(users ...string) BroadcastOperator { return n.all().ToUser(users...) }

// CountUser returns how many sockets of the namespace a user has; see Count.
func (n *Namespace) CountUser(ctx context.Context, user string) (int, error) {
	return n.ToUser(user).Count(ctx)
}

// CountUsers returns how many sockets of the namespace each of the users has, at one moment; see Counts.
func (n *Namespace) CountUsers(ctx context.Context, users ...string) (map[string]int, error) {
	counts, err := n.Counts(ctx, userRooms(users)...)
	if err != nil {
		return nil, err
	}
	byUser := make(map[string]int, len(users))
	for _, user := range users {
		byUser[user] = counts[wire.UserRoom(user)]
	}
	return byUser, nil
}

// ToUser selects the sockets of users in the children; see BroadcastOperator.ToUser.
func (p *ParentNamespace) ToUser(users ...string) BroadcastOperator { return p.all().ToUser(users...) }

// ToUser selects the sockets of users in "/"; see BroadcastOperator.ToUser.
func (s *Server) ToUser(users ...string) BroadcastOperator { return s.Of("/").ToUser(users...) }

// CountUser returns how many sockets of "/" a user has; see Namespace.CountUser.
func (s *Server) CountUser(ctx context.Context, user string) (int, error) {
	return s.Of("/").CountUser(ctx, user)
}

// CountUsers returns how many sockets of "/" each of the users has; see Namespace.CountUsers.
func (s *Server) CountUsers(ctx context.Context, users ...string) (map[string]int, error) {
	return s.Of("/").CountUsers(ctx, users...)
}

func userRooms(users []string) []string {
	rooms := make([]string, len(users))
	for i, user := range users {
		rooms[i] = wire.UserRoom(user)
	}
	return rooms
}

// joinable returns an error if nobody can join one of the rooms.
func joinable(rooms []string) error {
	for _, room := range rooms {
		if wire.IsUserRoom(room) {
			return fmt.Errorf("join %.80q: %w", room, ErrReservedRoom)
		}
	}
	return nil
}
