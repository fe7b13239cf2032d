package socketio

// The reasons of Disconnect.Reason, by the reference server's names. There is no other.
const (
	ReasonTransportError            = "transport error"             // the connection failed
	ReasonTransportClose            = "transport close"             // the connection was closed, or its edge or application is gone
	ReasonForcedClose               = "forced close"                // the client broke the rules of the protocol, on WebSocket
	ReasonForcedServerClose         = "forced server close"         // the client joined no namespace in time
	ReasonPingTimeout               = "ping timeout"                // the client does not answer
	ReasonParseError                = "parse error"                 // the client sent what is no Engine.IO packet
	ReasonServerShuttingDown        = "server shutting down"        // this instance or the edge stops
	ReasonClientNamespaceDisconnect = "client namespace disconnect" // the client left
	ReasonServerNamespaceDisconnect = "server namespace disconnect" // Disconnect or DisconnectSockets
)
