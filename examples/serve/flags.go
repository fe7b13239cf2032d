package serve

import (
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/siomesh/siomesh/pkg/siomesh"
)

// Flags are the command line every example has. One of Listen and NATS must be given. Embed it in the struct of a program
// that has more.
type Flags struct {
	Listen string `placeholder:"ADDR" xor:"shape" required:"" help:"Run the whole mesh in this process, with clients on ADDR."`
	NATS   string `name:"nats" placeholder:"URL" xor:"shape" required:"" help:"Join the mesh whose NATS server is at URL."`
	App    string `placeholder:"NAME" help:"Name of the application; the program's if empty."`
	Check  bool   `help:"Say what would run, and exit."`

	LogLevel  slog.Level `default:"info" help:"debug, info, warn or error."`
	LogFormat string     `enum:"auto,text,json" default:"auto" help:"auto: text on a terminal, else json."`

	Mesh MeshFlags `embed:"" group:"With --listen:"`
}

// MeshFlags configure a mesh inside the process; its engine's options have the reference server's names.
type MeshFlags struct {
	NATSListen        string        `name:"nats-listen" default:"none" placeholder:"ADDR" help:"Let other processes join here; none: nobody."`
	InternalListen    string        `placeholder:"ADDR" help:"Answer /livez, /readyz and /metrics here; nowhere if empty."`
	DataDir           string        `placeholder:"DIR" help:"Where to keep state; a temporary directory if empty."`
	ClientDir         string        `default:"node_modules/socket.io-client/dist" placeholder:"DIR" help:"Where the browser client is."`
	Policy            []string      `placeholder:"NAMESPACE=POLICY" sep:"none" help:"Who may connect; repeat it. Default: *=allow."`
	TokensFile        string        `placeholder:"FILE" help:"Token list of the auth policy tokens."`
	CORSOrigin        []string      `name:"cors-origin" placeholder:"ORIGIN" sep:"none" help:"Allow this origin, or *; repeat it."`
	PingInterval      time.Duration `default:"25s" help:"Between a pong and the next ping."`
	PingTimeout       time.Duration `default:"20s" help:"A client without a pong for this long is gone."`
	ConnectTimeout    time.Duration `default:"45s" help:"A connection without a namespace for this long is closed."`
	MaxHTTPBufferSize int64         `name:"max-http-buffer-size" default:"1000000" help:"Largest message of a client, in bytes."`
}

// Logger returns the log the flags ask for.
func (f *Flags) Logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: f.LogLevel}
	file, ok := w.(*os.File)
	if f.LogFormat == "text" || f.LogFormat == "auto" && ok && term.IsTerminal(int(file.Fd())) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func (f *Flags) app(otherwise string) string {
	if f.App != "" {
		return f.App
	}
	return otherwise
}

// config is the mesh that the flags describe.
func (f *Flags) config(name string, log *slog.Logger) siomesh.Config {
	c := siomesh.Config{
		App:               f.app(name),
		NATSListen:        f.Mesh.NATSListen,
		DataDir:           f.Mesh.DataDir,
		ClientDir:         f.Mesh.ClientDir,
		AuthPolicies:      f.Mesh.Policy,
		CORSOrigins:       f.Mesh.CORSOrigin,
		PingInterval:      f.Mesh.PingInterval,
		PingTimeout:       f.Mesh.PingTimeout,
		ConnectTimeout:    f.Mesh.ConnectTimeout,
		MaxHTTPBufferSize: f.Mesh.MaxHTTPBufferSize,
		Log:               log,
	}
	c.AuthKeys.TokensFile = f.Mesh.TokensFile
	return c
}
