package doctest

import (
	"go/ast"
	"go/parser"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page is docs/from-node.md. Its tables have Node's form on the left and Go's in the middle, in code spans.
const page = "docs/from-node.md"

// preamble declares what the names on the page mean; the page says the same.
const preamble = `package used

import (
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

func _(
	m *siomesh.Mesh, cfg siomesh.Config, app socketio.Config,
	io *socketio.Server, ns *socketio.Namespace, parent *socketio.ParentNamespace,
	s *socketio.Socket, b socketio.BroadcastOperator, remote *socketio.RemoteSocket,
	e *socketio.Event, se *socketio.ServerEvent, d socketio.Disconnect, reply socketio.Reply,
	session *engine.Session, observer engine.Observer,
) {
`

// span is Go on the page.
type span struct {
	line int
	text string
}

// spans returns what stands in code spans: in the middle column of the tables, and elsewhere on the page but for headings and
// the left column, which speak of Node.
func spans(tb testing.TB) (middle, elsewhere []span) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		tb.Fatal(err)
	}
	code := regexp.MustCompile("`([^`]+)`")
	in := func(text string, line int) (all []span) {
		for _, m := range code.FindAllStringSubmatch(text, -1) {
			all = append(all, span{line + 1, strings.ReplaceAll(m[1], "\x00", "|")})
		}
		return all
	}
	for i, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
		switch {
		case strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, "|") || len(cells) < 4:
			elsewhere = append(elsewhere, in(line, i)...)
		default:
			middle = append(middle, in(cells[2], i)...)
			elsewhere = append(elsewhere, in(cells[3], i)...)
		}
	}
	return middle, elsewhere
}

// uses resolves all that is named in an expression, and reports what is not there.
func (a *api) uses(t *testing.T, x span) (found []types.Object) {
	t.Helper()
	f, err := parser.ParseFile(a.fset, "", preamble+"_ = "+x.text+"\n}\n", parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("%s:%d: %q is no Go expression: %v", page, x.line, x.text, err)
		return nil
	}
	info := a.check(f)
	fn, ok := f.Decls[len(f.Decls)-1].(*ast.FuncDecl)
	if !ok {
		t.Fatal("the preamble does not end with a function")
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if o := info.Uses[n.Sel]; o != nil {
				found = append(found, o)
			} else if id, ok := n.X.(*ast.Ident); !ok || !slices.Contains([]string{"context", "errors", "http", "slog", "json", "time", "regexp"}, id.Name) {
				t.Errorf("%s:%d: there is no %s in %q", page, x.line, n.Sel.Name, x.text)
			}
		case *ast.KeyValueExpr:
			if id, ok := n.Key.(*ast.Ident); ok && info.Uses[id] != nil {
				found = append(found, info.Uses[id])
			} else if ok {
				t.Errorf("%s:%d: there is no field %s in %q", page, x.line, id.Name, x.text)
			}
		}
		return true
	})
	return found
}

// TestFromNode: what the page names exists, and what exists it names.
func TestFromNode(t *testing.T) {
	a := readAPI(t)
	named := map[types.Object]bool{}
	all, _ := spans(t)
	for _, m := range regexp.MustCompile(`\*?(\w+)\.(\w+)[,\n]`).FindAllStringSubmatch(preamble, -1) { // what the names are
		named[a.packages[module+"pkg/"+m[1]].Scope().Lookup(m[2])] = true
	}
	for _, x := range all {
		if strings.HasPrefix(x.text, "--") || strings.HasPrefix(x.text, "sio.") || strings.HasPrefix(x.text, "siomesh ") {
			continue // a flag, a subject of NATS, a command
		}
		for _, o := range a.uses(t, x) {
			named[o] = true
			if f, ok := o.(*types.Func); ok {
				named[f.Origin()] = true
			}
		}
	}
	if len(all) < 100 {
		t.Errorf("%s has only %d pieces of Go in its tables", page, len(all))
	}
	wanted := slices.Concat(a.exported("socketio"), a.exported("siomesh"), a.fields(t, "siomesh", "Config"))
	for _, name := range []string{"Config", "Handshake", "Conn", "Disconnect", "Event", "ServerEvent"} {
		wanted = append(wanted, a.fields(t, "socketio", name)...)
	}
	for _, o := range wanted {
		if !named[o] {
			t.Errorf("%s does not name %s", page, title(o))
		}
	}
}

// TestFromNodeInWords: what the page names beside its tables exists, too.
func TestFromNodeInWords(t *testing.T) {
	a := readAPI(t)
	known := map[string]bool{}
	for _, o := range slices.Concat(a.exported("socketio"), a.exported("siomesh")) {
		known[o.Name()] = true
	}
	qualified := regexp.MustCompile(`^\*?((?:io|ns|parent|s|b|remote|e|se|d|reply|m|cfg|app|session|observer|socketio|siomesh|engine)\.\w.*)$`)
	alone := regexp.MustCompile(`^[A-Z]\w+$`)
	_, all := spans(t)
	n := 0
	for _, x := range all {
		if m := qualified.FindStringSubmatch(x.text); m != nil {
			a.uses(t, span{x.line, m[1]})
			n++
		} else if alone.MatchString(x.text) {
			if !known[x.text] {
				t.Errorf("%s:%d: there is no %s", page, x.line, x.text)
			}
			n++
		}
	}
	if n < 20 {
		t.Errorf("%s names only %d things beside its tables", page, n)
	}
}

// TestNodeNames: the left column has every call of the reference's server API.
func TestNodeNames(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); strings.HasPrefix(line, "|") && len(cells) > 1 {
			for _, word := range regexp.MustCompile(`[\w$]+`).FindAllString(cells[1], -1) {
				left[word] = true
			}
		}
	}
	for _, word := range strings.Fields(nodeNames) {
		if !left[word] {
			t.Errorf("%s does not say what %s of Node is", page, word)
		}
	}
}

// nodeNames are the options, members, methods and events of Socket.IO 4 for servers, and those of its engine.
const nodeNames = `
	path serveClient adapter parser connectTimeout connectionStateRecovery cleanupEmptyChildNamespaces
	pingInterval pingTimeout upgradeTimeout maxHttpBufferSize allowRequest transports allowUpgrades perMessageDeflate
	httpCompression wsEngine cors cookie allowEIO3 initialPacket addTrailingSlash destroyUpgrade destroyUpgradeTimeout
	Server attach listen bind onconnection close engine sockets of use to in except emit send write local volatile compress
	timeout emitWithAck fetchSockets allSockets socketsJoin socketsLeave disconnectSockets serverSideEmit serverSideEmitWithAck
	connection connect new_namespace
	name children rooms create delete join leave room httpServer maxDisconnectionDuration skipMiddlewares
	addAll del delAll addSockets delSockets socketRooms broadcastWithAck serverCount persistSession restoreSession init
	addListener prependListener removeListener listeners listenerCount
	id handshake headers query auth time issued address xdomain secure url data conn request client nsp connected disconnected
	recovered on once off removeAllListeners eventNames onAny prependAny offAny listenersAny onAnyOutgoing prependAnyOutgoing
	offAnyOutgoing listenersAnyOutgoing error disconnecting disconnect broadcast remote responses
	BroadcastOperator Emitter
	generateId connection_error initial_headers clientsCount handleRequest handleUpgrade packet packetCreate heartbeat flush
	drain upgrading upgrade transport upgraded protocol remoteAddress
`
