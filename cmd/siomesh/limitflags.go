package main

import (
	"errors"
	"time"

	"github.com/siomesh/siomesh/services/edge"
)

// limitFlags bound what one client may have and send, and what may wait for auth.
type limitFlags struct {
	BodyTimeout       time.Duration `default:"1m" help:"The body of a POST must have come, and an answer must be taken, within this time; 0s changes nothing."`
	AuthTimeout       time.Duration `default:"2s" help:"The auth service is waited for this long at a time; 0s changes nothing. Without an answer a CONNECT is held, a handshake refused."`
	MaxHandshakes     int           `default:"1024" placeholder:"N" help:"Handshakes that may wait for auth at a time, with --auth-handshake; more are refused with status 403. 0 changes nothing."`
	MaxAttachments    int           `default:"10" placeholder:"N" help:"Binary attachments of one packet of a client, which is closed beyond it; 0 changes nothing."`
	MaxNamespaces     int           `default:"64" placeholder:"N" help:"Namespaces that one client may be in; 0 changes nothing."`
	MaxUnjoined       int           `default:"10000" placeholder:"N" help:"Clients without a namespace. Beyond it the oldest is closed if it had its time to join, else the new one is refused; 0 is no limit."`
	MaxOutboundBytes  int64         `default:"4194304" placeholder:"BYTES" help:"What may wait to be sent to one client, which is closed beyond it; 0 changes nothing."`
	ConnectsPerSecond float64       `default:"10" placeholder:"N" help:"CONNECTs that one client may send per second, refused or not. A client that sends more is read more slowly; 0 is no limit."`
	ConnectBurst      int           `default:"0" placeholder:"N" help:"CONNECTs it may send at once; 0 is twice --max-namespaces."`
	EventsPerSecond   float64       `default:"0" placeholder:"N" help:"Events that one socket may send per second. A client that sends more is read more slowly; 0 is no limit."`
	EventBurst        int           `default:"0" placeholder:"N" help:"Events it may send at once; 0 is one second's worth."`
	BytesPerSecond    float64       `default:"0" placeholder:"BYTES" help:"Bytes that one socket may send per second; 0 is no limit."`
	ByteBurst         int           `default:"0" placeholder:"BYTES" help:"Bytes it may send at once, 1024 or more; 0 is one second's worth."`
}

// connectionFlags bound the clients of a server, all of them and those of one address.
type connectionFlags struct {
	MaxConnections      int     `default:"0" placeholder:"N" help:"Client sessions of this edge or, with up, of the mesh; more are refused with status 503. 0 is no limit."`
	MaxConnectionsPerIP int     `name:"max-connections-per-ip" default:"0" placeholder:"N" help:"Client sessions of one address, or of one IPv6 /64; more are refused with status 429. 0 is no limit. Behind a proxy it takes --trusted-proxies."`
	AcceptRate          float64 `default:"0" placeholder:"N" help:"New sessions per second; more are refused with status 503. 0 is no limit."`
	AcceptBurst         int     `default:"0" placeholder:"N" help:"New sessions at once; 0 is one second's worth."`
}

// admit puts the limits into a configuration.
func (f *connectionFlags) admit(c *edge.Config) error {
	if f.MaxConnections < 0 || f.MaxConnectionsPerIP < 0 || f.AcceptBurst < 0 || !(f.AcceptRate >= 0) { // not a number, too
		return errors.New("--max-connections, --max-connections-per-ip, --accept-rate, --accept-burst: want 0 or more")
	}
	c.MaxConnections, c.MaxConnectionsPerIP = f.MaxConnections, f.MaxConnectionsPerIP
	c.AcceptRate, c.AcceptBurst = f.AcceptRate, f.AcceptBurst
	return nil
}

// limit puts the limits into a configuration.
func (f *limitFlags) limit(c *edge.Config) error {
	if f.MaxNamespaces < 0 || f.MaxOutboundBytes < 0 || f.MaxUnjoined < 0 {
		return errors.New("--max-namespaces, --max-outbound-bytes, --max-unjoined: want 0 or more")
	}
	if f.MaxHandshakes < 0 || f.MaxAttachments < 0 {
		return errors.New("--max-handshakes, --max-attachments: want 0 or more")
	}
	c.BodyTimeout, c.AuthTimeout = f.BodyTimeout, f.AuthTimeout
	c.MaxHandshakes, c.Parser.MaxAttachments = f.MaxHandshakes, f.MaxAttachments
	c.MaxNamespaces, c.MaxUnjoined, c.MaxOutboundBytes = f.MaxNamespaces, f.MaxUnjoined, f.MaxOutboundBytes
	if f.MaxUnjoined == 0 {
		c.MaxUnjoined = -1
	}
	if f.ConnectsPerSecond < 0 || f.ConnectBurst < 0 {
		return errors.New("--connects-per-second, --connect-burst: want 0 or more")
	}
	c.ConnectsPerSecond, c.ConnectBurst = f.ConnectsPerSecond, f.ConnectBurst
	if f.ConnectsPerSecond == 0 {
		c.ConnectsPerSecond = -1
	}
	c.EventsPerSecond, c.EventBurst = f.EventsPerSecond, f.EventBurst
	c.BytesPerSecond, c.ByteBurst = f.BytesPerSecond, f.ByteBurst
	return nil
}
