// Package engine is an Engine.IO v4 (and, if allowed, v3) server as an http.Handler: handshake, HTTP
// long-polling, WebSocket, the upgrade from one to the other, heartbeat and close.
// It carries opaque messages in order and knows nothing of what they mean: no
// Socket.IO, no broker. It owns its connections' goroutines and keeps none per
// session beyond one reader per WebSocket connection; every queue is bounded in
// bytes. Start reading at Server.ServeHTTP (server.go), then Session (session.go).
package engine
