// Package socketio is the application SDK of the mesh, what Socket.IO calls io: namespaces, connection middlewares, event
// handlers, acknowledgements in both directions, rooms and broadcasts. An application holds no client connection: edges
// do, and this package answers for the sockets they assign to it. Everything a client receives goes through the rooms
// service, which puts it in order; so methods return once an operation is on its way, and [Server.Flush] waits until all
// are applied. Start reading at [Connect], [Namespace.OnConnection] and [Socket]; docs/from-node.md has each call of Socket.IO
// for Node, and what it is here.
//
// # Across edges
//
// Where a socket is makes no difference. What one instance does to the sockets of a namespace - emit, acknowledge, join,
// broadcast, disconnect - is applied in the order of its calls, whichever edges they are at, and all clients of the namespace
// see broadcasts in one order. A query - Count, FetchSockets - sees what its instance did before it. What only this instance has
// is said to be so: Sockets, Local, Children.
//
// # Errors
//
// What a method returns was not done: the socket is gone, a name is reserved, a value cannot be sent, or there was no room or no
// rooms service within [Config].EmitTimeout. What was accepted and is lost later, as when the rooms service dies, goes to
// [Server.OnError], and to [Server.Flush] and [Server.Confirmed] as [ErrLost]. The error or panic of a handler goes to OnError,
// and ends nothing else. Methods that wait end with their context, a Timeout or Config.EmitTimeout.
//
// # Reconnects
//
// A client whose connection is lost comes back by itself, as a new [Socket], with another id, through the middlewares again:
// its rooms and data start afresh, and what was sent meanwhile it does not get. So it is, too, when its edge, this instance or the
// rooms service dies. This instance's own connection to NATS comes back without anybody noticing, but for the wait.
package socketio
