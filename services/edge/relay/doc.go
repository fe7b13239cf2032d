// Package relay lets any edge serve any request. A request for a session of another edge goes there on a stream of its own
// (package tunnel): the request's head and body one way, the answer the other way (proto/siomesh/v1/relay.proto), or after a
// 101 the bytes of a WebSocket both ways. Nothing is ever sent twice: a stream that fails is a request that failed. relay.go
// is the edge that got the request, serve.go and answer.go are the one that has the session; what becomes of a WebSocket is in
// relay.go of pkg/engine.
package relay
