package siomesh_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/siomesh/siomesh/internal/siotest"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

var quiet = slog.New(slog.DiscardHandler)

// A program that serves nothing else needs no HTTP server of its own.
func ExampleMesh_ListenAndServe() {
	ctx, stop := context.WithCancel(context.Background()) // in a program signal.NotifyContext
	defer stop()
	m, err := siomesh.New(siomesh.Config{Log: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	register(m.IO())
	go func() {
		<-m.Ready()
		fmt.Println("healthy:", m.Healthy(), "clients:", m.ClientsCount())
		stop()
	}()
	fmt.Println(m.ListenAndServe(ctx, "127.0.0.1:0")) // ":3000", say
	// Output:
	// healthy: true clients: 0
	// <nil>
}

// HTTPS, and HTTP/2 for those who poll.
func ExampleMesh_Serve() {
	m, err := siomesh.New(siomesh.Config{Log: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	register(m.IO())
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{ // ":443", say
		Certificates: certificates(), // from tls.LoadX509KeyPair
		NextProtos:   []string{"h2", "http/1.1"},
		MinVersion:   tls.VersionTLS12,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- m.Serve(context.Background(), ln) }()
	<-m.Ready()
	fmt.Println(page(ln, "/"))

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(m.Close(ctx), <-ended)
	// Output:
	// 404 page not found
	// <nil> <nil>
}

// At another path, behind a prefix that another handler takes away.
func ExampleMesh_ServeHTTP() {
	m, err := siomesh.New(siomesh.Config{Path: "/chat", Log: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	register(m.IO())
	mux := http.NewServeMux()
	mux.Handle("/v2/", http.StripPrefix("/v2", m))
	server := httptest.NewServer(mux)
	defer server.Close()
	ended := make(chan error)
	go func() { ended <- m.Run(context.Background()) }()
	<-m.Ready()
	ann := client(server.Listener, "/v2/chat/") // a browser: io({ path: "/v2/chat" })
	fmt.Println(ann.Ask("say", "hello"))
	fmt.Println(m.Close(context.Background()), <-ended)
	// Output:
	// []
	// <nil> <nil>
}

// Applications join from outside: another program, or further instances of this one.
func ExampleMesh_NATSURL() {
	m, err := siomesh.New(siomesh.Config{NATSListen: "127.0.0.1:0", Log: quiet}) // "127.0.0.1:4222", say
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ":3000", say
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 2)
	go func() { ended <- m.Serve(context.Background(), ln) }()
	<-m.Ready()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	app, err := socketio.Connect(ctx, m.NATSURL(), socketio.Config{App: "chat", Log: quiet}) // in another program
	if err != nil {
		fmt.Println(err)
		return
	}
	register(app)
	go func() { ended <- app.Run(context.Background()) }()
	ann := client(ln, "/socket.io/")
	fmt.Println(ann.Ask("say", "hello"), ann.Next())
	fmt.Println(errors.Join(app.Close(ctx), m.Close(ctx), <-ended, <-ended))
	// Output:
	// [] ["said","hello"]
	// <nil>
}

// Functions and options of the endpoint: who may connect at all, and what responses carry.
func ExampleConfig() {
	m, err := siomesh.New(siomesh.Config{
		CORSOrigins: []string{"https://chat.example"},
		CORSMaxAge:  time.Hour,
		Cookie:      engine.DefaultCookie(),
		AllowRequest: func(r *http.Request) error {
			if r.UserAgent() == "" {
				return errors.New("who are you?")
			}
			return nil
		},
		Headers: func(h http.Header, _ *http.Request) { h.Set("X-Region", "eu") },
		OnSession: func(s *engine.Session, _ *http.Request) {
			s.Observe(&engine.Observer{Upgrade: func(transport string) { fmt.Println("upgraded to", transport) }})
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close(context.Background()) //nolint:errcheck // it never ran
	fmt.Println(m.ClientsCount(), "clients")
	// Output: 0 clients
}

// client is a client of "/", as others have it in a browser.
func client(ln net.Listener, path string) *siotest.Client {
	c, err := siotest.Dial("http://"+ln.Addr().String(), siotest.Options{Path: path})
	if err != nil {
		panic(err)
	}
	return c
}

// page returns what a browser sees.
func page(ln net.Listener, path string) string {
	scheme, transport := "http", &http.Transport{}
	if _, plain := ln.(*net.TCPListener); !plain {
		scheme, transport.TLSClientConfig = "https", &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a test's certificate
	}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(scheme + "://" + ln.Addr().String() + path) //nolint:noctx // its server is here
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(text))
}

func certificates() []tls.Certificate {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	return server.TLS.Certificates
}
