package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/siomesh/siomesh/services/auth"
)

// Mistakes that would otherwise show late, or in words that say nothing to whoever reads the command line.

// checkOrigins refuses an origin that no browser sends. A browser sends scheme://host, with :port if it is not the scheme's
// own, and nothing behind it, or null, or file:// (some that show local pages). An asterisk stands for anything, once.
func checkOrigins(origins []string) error {
	for _, o := range origins {
		if o != "" && o != "null" && o != "file://" && !canMatch(o) {
			return fmt.Errorf("--cors-origin %q matches no page: want * for all, or scheme://host[:port] without a path, such as https://example.com or https://*.example.com", o) //nolint:err113 // for the reader of the command line
		}
	}
	return nil
}

func canMatch(origin string) bool {
	if before, after, wild := strings.Cut(origin, "*"); wild {
		return canBegin(before) && canEnd(after)
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme != "" && u.Hostname() != "" && origin[len(u.Scheme):] == "://"+u.Host
}

// canBegin reports whether an origin may begin with text: some of the scheme, or all of it and some of the rest.
func canBegin(text string) bool {
	scheme, host, whole := strings.Cut(text, "://")
	return (scheme != "" || !whole) && !strings.ContainsAny(scheme, ".:/?#@") && !strings.ContainsAny(host, "/?#@")
}

// canEnd reports whether an origin may end with text: some of the host, or all of it and some of the scheme.
func canEnd(text string) bool {
	_, host, whole := strings.Cut(text, "://")
	if !whole {
		host = text
	}
	return !strings.ContainsAny(host, "*/?#@")
}

// defaultClientDir is that of --client-dir. It need not be there: without the npm package an edge serves all but the client.
const defaultClientDir = "node_modules/socket.io-client/dist"

// checkClientDir looks for a directory that was asked for.
func (f *engineFlags) checkClientDir() error {
	dir := f.clientDir()
	if dir == "" || dir == defaultClientDir {
		return nil
	}
	const want = "want the dist folder of the npm package socket.io-client, or --no-serve-client"
	switch info, err := os.Stat(dir); {
	case err != nil:
		return fmt.Errorf("--client-dir: %w: %s", err, want) // names the directory
	case !info.IsDir():
		return fmt.Errorf("--client-dir %q is no directory: %s", dir, want)
	}
	return nil
}

// config reads the policies. What is wrong with a list of tokens is told without any of it.
func (f *policyFlags) config() (auth.Config, error) {
	policies, err := auth.ParsePolicies(f.Policy, f.keys())
	if err != nil {
		return auth.Config{}, f.explain("--policy", err)
	}
	handshake, err := auth.ParseHandshakePolicy(f.HandshakePolicy, f.keys())
	if err != nil {
		return auth.Config{}, f.explain("--handshake-policy", err)
	}
	return auth.Config{Policies: policies, Handshake: handshake}, nil
}

// explain names the flag that an error comes from: that of the policy, or that of the tokens if those are no list.
func (f *policyFlags) explain(flag string, err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	if !errors.As(err, &kind) && !errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", flag, err)
	}
	flag = "--tokens"
	if f.TokensFile != "" {
		flag = fmt.Sprintf("--tokens-file %q", f.TokensFile)
	}
	//nolint:err113 // for the reader of the command line; the tokens are secrets: not shown
	return fmt.Errorf(`%s: want a JSON array of objects, such as [{"token":"s3cret","user":"ann"}]`, flag)
}
