package socketio

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// subject is what the calls of the table are made on.
type subject struct {
	s      *Server
	ns     *Namespace
	parent *ParentNamespace
	sock   *Socket
	remote *RemoteSocket
	event  *Event
	server *ServerEvent
	ctx    context.Context //nolint:containedctx // of the calls that take one
	arg    any             // of what is sent
	name   string          // of events
	room   string          // of rooms
	sockID string
	brief  time.Duration // bounds the waits
}

// call is one exported call that can fail, and what it needs in order to succeed.
type call struct {
	on      string // "server", or the "socket" of a client
	carries string // "arg", "name" with an arg, "room" or ""
	waits   string // for an answer of "client", "rooms", "edges" or "edge", "local" for nothing at all, "" for room in a window
	f       func(x *subject) error
}

func second[T any](_ T, err error) error { return err }

func last[T any](seq iter.Seq2[T, error]) (err error) {
	for _, err = range seq {
		continue
	}
	return err
}

// calls are all exported calls that send, ask or wait, by type and method.
func calls() map[string]call {
	all := map[string]call{
		"Socket.Emit":             {"socket", "name", "", func(x *subject) error { return x.sock.Emit(x.name, x.arg) }},
		"Socket.Send":             {"socket", "arg", "", func(x *subject) error { return x.sock.Send(x.arg) }},
		"Socket.EmitWithAck":      {"socket", "name", "client", func(x *subject) error { return second(x.sock.EmitWithAck(x.ctx, x.name, x.arg)) }},
		"Socket.Join":             {"socket", "room", "", func(x *subject) error { return x.sock.Join(x.room) }},
		"Socket.Leave":            {"socket", "room", "", func(x *subject) error { return x.sock.Leave(x.room) }},
		"Socket.Disconnect":       {"socket", "", "", func(x *subject) error { return x.sock.Disconnect(true) }},
		"Socket.CurrentConn":      {"socket", "", "edge", func(x *subject) error { return second(x.sock.CurrentConn(x.ctx)) }},
		"Emitter.Emit":            {"socket", "name", "", func(x *subject) error { return x.sock.Compress(false).Emit(x.name, x.arg) }},
		"Emitter.Send":            {"socket", "arg", "", func(x *subject) error { return x.sock.Compress(true).Send(x.arg) }},
		"Emitter.EmitWithAck":     {"socket", "name", "client", func(x *subject) error { return second(x.sock.Timeout(x.brief).EmitWithAck(x.ctx, x.name, x.arg)) }},
		"Event.Ack":               {"socket", "arg", "", func(x *subject) error { return x.event.Ack(x.arg) }},
		"Data.Set":                {"socket", "arg", "", func(x *subject) error { return x.sock.Data().Set("k", x.arg) }},
		"Data.Delete":             {"socket", "room", "", func(x *subject) error { return x.sock.Data().Delete(x.room) }},
		"RemoteSocket.Emit":       {"server", "name", "", func(x *subject) error { return x.remote.Emit(x.name, x.arg) }},
		"RemoteSocket.Send":       {"server", "arg", "", func(x *subject) error { return x.remote.Send(x.arg) }},
		"RemoteSocket.Join":       {"server", "room", "", func(x *subject) error { return x.remote.Join(x.room) }},
		"RemoteSocket.Leave":      {"server", "room", "", func(x *subject) error { return x.remote.Leave(x.room) }},
		"RemoteSocket.Disconnect": {"server", "", "", func(x *subject) error { return x.remote.Disconnect(false) }},
		"RemoteEmitter.EmitWithAck": {"server", "name", "client", func(x *subject) error {
			return second(x.remote.Timeout(x.brief).EmitWithAck(x.ctx, x.name, x.arg))
		}},
		"ServerEvent.Ack":      {"server", "arg", "", func(x *subject) error { return x.server.Ack(x.arg) }},
		"Server.Flush":         {"server", "", "local", func(x *subject) error { return x.s.Flush(x.ctx) }},
		"Namespace.Counts":     {"server", "room", "rooms", func(x *subject) error { return second(x.ns.Counts(x.ctx, x.room)) }},
		"Server.Counts":        {"server", "room", "rooms", func(x *subject) error { return second(x.s.Counts(x.ctx, x.room)) }},
		"Namespace.CountUser":  {"server", "room", "rooms", func(x *subject) error { return second(x.ns.CountUser(x.ctx, x.room)) }},
		"Server.CountUser":     {"server", "room", "rooms", func(x *subject) error { return second(x.s.CountUser(x.ctx, x.room)) }},
		"Namespace.CountUsers": {"server", "room", "rooms", func(x *subject) error { return second(x.ns.CountUsers(x.ctx, x.room)) }},
		"Server.CountUsers":    {"server", "room", "rooms", func(x *subject) error { return second(x.s.CountUsers(x.ctx, x.room)) }},
	}
	for name, of := range map[string]func(x *subject) BroadcastOperator{
		"BroadcastOperator": func(x *subject) BroadcastOperator { return x.ns.To(x.room) },
		"a parent's":        func(x *subject) BroadcastOperator { return x.parent.To(x.room) },
		"a socket's":        func(x *subject) BroadcastOperator { return x.sock.To(x.room) },
		"a user's":          func(x *subject) BroadcastOperator { return x.s.ToUser(x.room) },
	} {
		all[name+".Emit"] = call{"server", "name", "", func(x *subject) error { return of(x).Emit(x.name, x.arg) }}
		all[name+".Send"] = call{"server", "arg", "", func(x *subject) error { return of(x).Send(x.arg) }}
		all[name+".EmitWithAck"] = call{"server", "name", "client", func(x *subject) error { return second(of(x).Timeout(x.brief).EmitWithAck(x.ctx, x.name, x.arg)) }}
		all[name+".EachAck"] = call{"server", "name", "client", func(x *subject) error { return last(of(x).Timeout(x.brief).EachAck(x.ctx, x.name, x.arg)) }}
		all[name+".SocketsJoin"] = call{"server", "room", "", func(x *subject) error { return of(x).SocketsJoin(x.room) }}
		all[name+".SocketsLeave"] = call{"server", "room", "", func(x *subject) error { return of(x).SocketsLeave(x.room) }}
		all[name+".DisconnectSockets"] = call{"server", "", "", func(x *subject) error { return of(x).DisconnectSockets(true) }}
		all[name+".Count"] = call{"server", "room", "rooms", func(x *subject) error { return second(of(x).Count(x.ctx)) }}
		all[name+".local Count"] = call{"server", "", "local", func(x *subject) error { return second(of(x).Local().Count(x.ctx)) }}
		all[name+".local Emit"] = call{"server", "name", "", func(x *subject) error { return of(x).Local().Emit(x.name, x.arg) }}
		if name != "a parent's" {
			all[name+".FetchSockets"] = call{"server", "room", "edges", func(x *subject) error { return second(of(x).FetchSockets(x.ctx)) }}
			all[name+".SocketIDs"] = call{"server", "room", "edges", func(x *subject) error { return second(of(x).SocketIDs(x.ctx)) }}
			all[name+".EachSocket"] = call{"server", "room", "edges", func(x *subject) error { return last(of(x).EachSocket(x.ctx, WithData)) }}
			all[name+".local FetchSockets"] = call{"server", "", "local", func(x *subject) error { return second(of(x).Local().FetchSockets(x.ctx)) }}
			all[name+".local EachSocket"] = call{"server", "", "local", func(x *subject) error { return last(of(x).Local().EachSocket(x.ctx, 0)) }}
		}
	}
	all["BroadcastOperator.local SocketsJoin"] = call{"server", "", "", func(x *subject) error {
		return x.s.In(x.sockID).Local().SocketsJoin("r")
	}}
	addNamespaceCalls(all)
	return all
}

// addNamespaceCalls adds what servers, namespaces and parents have by the same names, without a room.
func addNamespaceCalls(all map[string]call) {
	type namespace interface {
		Emit(event string, args ...any) error
		Send(args ...any) error
		SocketsJoin(rooms ...string) error
		SocketsLeave(rooms ...string) error
		DisconnectSockets(closeConnections bool) error
	}
	type single interface {
		namespace
		Count(ctx context.Context) (int, error)
		FetchSockets(ctx context.Context) ([]*RemoteSocket, error)
		SocketIDs(ctx context.Context) ([]string, error)
		EachSocket(ctx context.Context, fields Fields) iter.Seq2[*RemoteSocket, error]
		ServerSideEmit(event string, args ...any) error
		ServerSideEmitWithAck(ctx context.Context, event string, args ...any) ([]ServerReply, error)
	}
	for name, of := range map[string]func(x *subject) namespace{
		"Server":          func(x *subject) namespace { return x.s },
		"Namespace":       func(x *subject) namespace { return x.ns },
		"ParentNamespace": func(x *subject) namespace { return x.parent },
	} {
		all[name+".Emit"] = call{"server", "name", "", func(x *subject) error { return of(x).Emit(x.name, x.arg) }}
		all[name+".Send"] = call{"server", "arg", "", func(x *subject) error { return of(x).Send(x.arg) }}
		all[name+".SocketsJoin"] = call{"server", "room", "", func(x *subject) error { return of(x).SocketsJoin(x.room) }}
		all[name+".SocketsLeave"] = call{"server", "room", "", func(x *subject) error { return of(x).SocketsLeave(x.room) }}
		all[name+".DisconnectSockets"] = call{"server", "", "", func(x *subject) error { return of(x).DisconnectSockets(false) }}
	}
	all["ParentNamespace.Count"] = call{"server", "", "rooms", func(x *subject) error { return second(x.parent.Count(x.ctx)) }}
	for name, of := range map[string]func(x *subject) single{
		"Server":    func(x *subject) single { return x.s },
		"Namespace": func(x *subject) single { return x.ns },
	} {
		all[name+".Count"] = call{"server", "", "rooms", func(x *subject) error { return second(of(x).Count(x.ctx)) }}
		all[name+".FetchSockets"] = call{"server", "", "edges", func(x *subject) error { return second(of(x).FetchSockets(x.ctx)) }}
		all[name+".SocketIDs"] = call{"server", "", "edges", func(x *subject) error { return second(of(x).SocketIDs(x.ctx)) }}
		all[name+".EachSocket"] = call{"server", "", "edges", func(x *subject) error { return last(of(x).EachSocket(x.ctx, WithData)) }}
		all[name+".ServerSideEmit"] = call{"server", "name", "", func(x *subject) error { return of(x).ServerSideEmit(x.name, x.arg) }}
		all[name+".ServerSideEmitWithAck"] = call{"server", "name", "client", func(x *subject) error {
			return second(of(x).ServerSideEmitWithAck(x.ctx, x.name, x.arg))
		}}
	}
}

// Every exported method that returns an error is in the table, or has a test of its own.
func TestEveryCallIsInTheTable(t *testing.T) {
	all := calls()
	elsewhere := []string{
		"Server.Run", "Server.Close", "Server.Use", "Server.OnConnection", "Namespace.Use", "Namespace.OnConnection", // TestNamespaces and others
		"ParentNamespace.Use", "ParentNamespace.OnConnection", // TestParentLate
		"Event.Bind", "Event.SetArgs", "Data.Get", "Data.MarshalJSON", // send nothing
		"Server.Confirmed", // TestConfirmed
	}
	seen := map[string]bool{}
	failure := reflect.TypeFor[error]()
	for _, typ := range []reflect.Type{
		reflect.TypeFor[*Server](), reflect.TypeFor[*Namespace](), reflect.TypeFor[*ParentNamespace](), reflect.TypeFor[BroadcastOperator](),
		reflect.TypeFor[*Socket](), reflect.TypeFor[Emitter](), reflect.TypeFor[*RemoteSocket](), reflect.TypeFor[RemoteEmitter](),
		reflect.TypeFor[*Event](), reflect.TypeFor[*ServerEvent](), reflect.TypeFor[Data](),
	} {
		name, _ := strings.CutPrefix(fmt.Sprint(typ), "*")
		name, _ = strings.CutPrefix(name, "socketio.")
		for i := range typ.NumMethod() {
			m := typ.Method(i)
			out := m.Type.NumOut()
			if out == 0 {
				continue
			}
			result := m.Type.Out(out - 1)
			fails := result == failure || strings.HasPrefix(result.Name(), "Seq2[") && strings.HasSuffix(result.Name(), ",error]")
			key := name + "." + m.Name
			seen[key] = true
			if _, listed := all[key]; fails && !listed && !slices.Contains(elsewhere, key) {
				t.Errorf("%s is in no table", key)
			}
		}
	}
	for _, key := range elsewhere {
		if !seen[key] {
			t.Errorf("there is no %s", key)
		}
	}
}
