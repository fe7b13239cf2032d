package wire

// Kind says what a record means. Numbers are part of the contract: never reuse one.
type Kind uint8

// The kinds, by the hop they travel. "ring" records go app → rooms → edge and carry an operation number; rooms sets Origin
// and passes the body on as it is. Body names the layout: see packet.go for Packet, lists.go for Strings and Selector; the
// others are protobuf messages of proto/siomesh/v1.
const (
	// Edge → app. Socket, Namespace and Epoch are set. CONNECT, EVENT and DISCONNECT of one socket are numbered by Seq and
	// arrive in that order; REPLY and ACK_FAILED have no Seq and overtake the others.
	KindConnect    Kind = 1  // a client asks to join a namespace                   Body: siomesh.v1.Connect
	KindEvent      Kind = 2  // an event of the client; ID = its acknowledgement id  Body: Packet
	KindReply      Kind = 3  // the client's acknowledgement of request Ack          Body: Packet
	KindDisconnect Kind = 4  // the socket is gone                                   Body: siomesh.v1.Disconnect
	KindAckFailed  Kind = 5  // request Ack can no longer be answered                Body: reason, plain text
	KindCopy       Kind = 6  // a broadcast reached the socket, which is watched     Body: Packet
	KindJoined     Kind = 7  // somebody else put the socket into rooms; Op = the newest operation of the owner the edge has applied   Body: Strings
	KindLeft       Kind = 8  // somebody else took it out of rooms; Op likewise      Body: Strings
	KindAskIDs     Kind = 9  // request Ack, an ASK, goes to these sockets           Body: Strings, socket ids
	KindAskReply   Kind = 10 // a client's acknowledgement of request Ack            Body: Strings, its socket id; then Packet
	KindAskEnd     Kind = 11 // no more replies to request Ack come from this edge   Body: Strings, ids of the silent
	KindDetach     Kind = 12 // give the socket back: nothing follows but REPLY, ACK_FAILED and the like; without Socket: this edge gives you no more   Body: empty
	KindAttach     Kind = 13 // a socket that another instance has given back; numbered like CONNECT   Body: see handover.go
	// 14 and 15 are reserved.

	// Ring: app → rooms → edge. Partition, PartitionEpoch, Op and Namespace are set, and Origin from rooms on.
	KindAccept      Kind = 16 // the socket is in the namespace                       Body: siomesh.v1.Accept
	KindRefuse      Kind = 17 // a middleware refused the socket                      Body: siomesh.v1.Refuse
	KindUnknown     Kind = 18 // a dynamic app does not know the namespace            Body: empty
	KindEmit        Kind = 19 // an event to one socket; Ack = request id or 0        Body: Packet
	KindAck         Kind = 20 // the answer to the client's event; ID = its id        Body: Packet
	KindJoin        Kind = 21 // one socket joins rooms                               Body: Strings
	KindLeave       Kind = 22 // one socket leaves rooms                              Body: Strings
	KindClose       Kind = 23 // one socket is disconnected; FlagClose = the whole connection   Body: empty
	KindBroadcast   Kind = 24 // an event to the sockets a selector names             Body: Selector, then Packet
	KindHandled     Kind = 25 // Handled of Socket, nothing else                      Body: empty
	KindData        Kind = 26 // top-level keys of socket.data set or deleted         Body: Strings, pairs key, raw JSON ("" deletes)
	KindWatch       Kind = 27 // the owner wants copies of broadcasts that reach the socket   Body: 1, or empty for no more
	KindJoinAll     Kind = 28 // the sockets a selector names join rooms              Body: Selector, then Strings
	KindLeaveAll    Kind = 29 // they leave rooms                                     Body: Selector, then Strings
	KindCloseAll    Kind = 30 // they are disconnected; FlagClose = the whole connections   Body: Selector
	KindAsk         Kind = 31 // a broadcast with acknowledgement; Ack = request id   Body: Selector, uvarint milliseconds, then Packet
	KindServerEmit  Kind = 32 // an event to the other app instances of the namespace; Ack = request id or 0; ends at rooms   Body: Packet
	KindServerReply Kind = 33 // the answer to request Ack of another instance; ends at rooms   Body: Strings, that instance's id; then Packet
	KindWatchRooms  Kind = 34 // the app instance wants the room events of Namespace; ends at rooms   Body: 1, or empty for no more
	KindDetached    Kind = 35 // the answer to DETACH, behind all that was done to the socket: nobody owns it   Body: see handover.go
	// 36 to 39 are reserved.

	// Rooms → app.
	KindConfirm       Kind = 40 // operations up to Op of Partition are applied         Body: empty
	KindGone          Kind = 41 // rooms → app and edge → rooms: the edge has no such socket   Body: empty
	KindEdgeEnded     Kind = 42 // rooms → app: the edge's sockets up to Lease are gone (0: all)   Body: the edge's instance id
	KindOpFailed      Kind = 43 // rooms → app: operation Op of Partition was refused   Body: reason, plain text
	KindAskEdges      Kind = 44 // rooms → app: the edges that request Ack went to      Body: Strings, instance ids
	KindServerEvent   Kind = 45 // an event of Origin, another app instance; Ack = its request id or 0   Body: Packet
	KindServerTargets Kind = 46 // the app instances that request Ack went to       Body: Strings, instance ids
	KindServerAnswer  Kind = 47 // the answer of Origin to request Ack              Body: Packet
	KindRoomEvents    Kind = 49 // changes of rooms of Namespace, see roomevents.go  Body: Strings, threes of what, room, socket id

	// Edge → rooms, and rooms → edge.
	KindHello Kind = 48 // edge: register me under this Lease; rooms: you are under this one, 0: under none   Body: empty

	// Edge ↔ edge: streams of bytes (package tunnel). Every body begins with the number of the stream, from 1, a uvarint shifted
	// left by one, whose lowest bit is set by the side that accepted the stream. FlagClose on the first three: nothing follows
	// this way; a reset without it takes back what was sent. Reset of number 0: everything from before this link is lost.
	KindStreamOpen   Kind = 56 // begins a stream                                   Body: number, head
	KindStreamData   Kind = 57 // bytes of it                                       Body: number, bytes
	KindStreamReset  Kind = 58 // the sender has no use for it any more             Body: number, reason, plain text
	KindStreamCredit Kind = 59 // the receiver has made room                        Body: number, bytes as a uvarint
)

// AckDeparted is the reason of a KindAckFailed whose client has left.
const AckDeparted = "the client has left"

// Flags are properties that any kind may have.
type Flags uint8

// The flags.
const (
	FlagSkippable   Flags = 1 << iota // a receiver that does not know the kind ignores the record instead of breaking the link
	FlagRedelivered                   // this packet may have been handled before
	FlagVolatile                      // may be dropped when the recipient cannot take it at once
	FlagNoCompress                    // do not compress this packet
	FlagClose                         // KindClose, KindCloseAll: close the whole connection; stream kinds: nothing follows
	FlagControl                       // not counted against the window
	FlagNonOwner                      // made by an instance that does not own the socket: not fenced
	FlagLocal                         // concerns the sockets that the origin owns, and no other
)

// Known reports whether this version knows the kind. Record.Parse lets an unknown one pass only with FlagSkippable; the
// receiver then ignores the record.
func (k Kind) Known() bool {
	switch k {
	case KindConnect, KindEvent, KindReply, KindDisconnect, KindAckFailed, KindCopy, KindJoined, KindLeft,
		KindAskIDs, KindAskReply, KindAskEnd, KindDetach, KindAttach,
		KindAccept, KindRefuse, KindUnknown, KindEmit, KindAck, KindJoin, KindLeave, KindClose, KindBroadcast, KindHandled, KindData,
		KindWatch, KindJoinAll, KindLeaveAll, KindCloseAll, KindAsk, KindServerEmit, KindServerReply, KindWatchRooms, KindDetached,
		KindConfirm, KindGone, KindEdgeEnded, KindOpFailed, KindAskEdges, KindServerEvent, KindServerTargets, KindServerAnswer,
		KindRoomEvents,
		KindHello,
		KindStreamOpen, KindStreamData, KindStreamReset, KindStreamCredit:
		return true
	default:
		return false
	}
}
