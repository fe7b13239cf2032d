package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// NATSOptions are the options of Dial. The zero value works with a server that asks for no credentials; a user, password or
// token may also stand in the URL.
type NATSOptions struct {
	// Name is what the server's reports and events call the connections, with ".data" or ".control" behind it; the mesh
	// uses <kind>-<instance>.
	Name string
	// ConnectTimeout bounds the attempts of Dial; 30 seconds if 0.
	ConnectTimeout time.Duration
	// Token authenticates, if not empty.
	Token string
	// CredsFile is a NATS credentials file (a JWT and its key), read again at each reconnect.
	CredsFile string
	// CAFile is a PEM file of the authorities to trust in place of the system's; it turns TLS on.
	CAFile string
	// CertFile and KeyFile are the client's PEM certificate and key, for servers that verify them.
	CertFile, KeyFile string
	// InProcess connects to a server in this process in place of the URL.
	InProcess nats.InProcessConnProvider
	// Log gets what a reader of the process's log must know about the connections; nothing if nil.
	Log *slog.Logger
}

const (
	dialTimeout      = 2 * time.Second // of one attempt
	dialPause        = 250 * time.Millisecond
	dialLogEvery     = 5 * time.Second
	reconnectWait    = 50 * time.Millisecond
	reconnectJitter  = 50 * time.Millisecond
	pingInterval     = 5 * time.Second
	pingsOutstanding = 2
	writeTimeout     = 5 * time.Second
)

func (o NATSOptions) withDefaults() NATSOptions {
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// check finds what no later attempt would cure.
func (o NATSOptions) check(urls string) error {
	for one := range strings.SplitSeq(urls, ",") {
		if _, err := url.Parse(strings.TrimSpace(one)); err != nil {
			var parsing *url.Error
			if errors.As(err, &parsing) {
				err = parsing.Err // without the URL, which may hold a password
			}
			return fmt.Errorf("parse NATS URL: %w", err)
		}
	}
	for _, file := range []string{o.CredsFile, o.CAFile, o.CertFile, o.KeyFile} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("NATS credentials: %w", err)
		}
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return errors.New("NATS credentials: a certificate and its key go together")
	}
	return nil
}

// options are those of one connection. Nothing is buffered while it is down: publishing fails then, and who resends is the
// layer above, which knows what is still wanted.
func (o NATSOptions) options(lane string) []nats.Option {
	options := []nats.Option{
		nats.Name(strings.TrimPrefix(o.Name+"."+lane, ".")),
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOutstanding),
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectOnFlusherError(),
		nats.IgnoreAuthErrorAbort(), // credentials that are rotated must not end the process
		nats.SkipSubjectValidation(),
		nats.NoCallbacksAfterClientClose(),
	}
	if o.Token != "" {
		options = append(options, nats.Token(o.Token))
	}
	if o.CredsFile != "" {
		options = append(options, nats.UserCredentials(o.CredsFile))
	}
	if o.CAFile != "" {
		options = append(options, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" {
		options = append(options, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	if o.InProcess != nil {
		options = append(options, nats.InProcessServer(o.InProcess))
	}
	return options
}

// withoutSecrets is a list of NATS URLs as a log may show it.
func withoutSecrets(urls string) string {
	var shown []string
	for one := range strings.SplitSeq(urls, ",") {
		if parsed, err := url.Parse(strings.TrimSpace(one)); err == nil {
			parsed.User = nil
			shown = append(shown, parsed.String())
		}
	}
	return strings.Join(shown, ",")
}
