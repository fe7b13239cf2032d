// Package socketio is the application SDK of the mesh, what Socket.IO calls io: namespaces, connection middlewares, event
// handlers, acknowledgements in both directions, rooms and broadcasts. An application holds no client connection: edges
// do, and this package answers for the sockets they assign to it. Everything a client receives goes through the rooms
// service, which puts it in order; so methods return once an operation is on its way, and [Server.Flush] waits until all
// are applied. Start reading at [Connect], [Namespace.OnConnection] and [Socket].
package socketio
