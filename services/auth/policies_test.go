package auth

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
)

const list = `[{"token":"s3cret","user":"ann","data":{"role":"admin"},"rooms":["staff"]},{"token":"guest"}]`

// policies parses lines that must be right.
func policies(tb testing.TB, keys Keys, lines ...string) Policies {
	tb.Helper()
	p, err := ParsePolicies(lines, keys)
	if err != nil {
		tb.Fatalf("parse %q: %v", lines, err)
	}
	return p
}

// file writes a file for a test and returns its path.
func file(tb testing.TB, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatalf("write: %v", err)
	}
	return path
}

func request(namespace, auth string) *authn.ConnectRequest {
	q := &authn.ConnectRequest{Namespace: namespace, Socket: "s"}
	if auth != "" {
		q.Auth = json.RawMessage(auth)
	}
	return q
}

func TestWhichPolicyHolds(t *testing.T) {
	p := policies(t, Keys{Tokens: list, JWTAlgorithm: "HS256", JWTKey: strings.Repeat("k", 32)},
		"*=allow", "/=jwt", "/admin=jwt", "/team-*=tokens", "/team-open*=allow", "/team-open-not=tokens",
		"/a=b=jwt", "/ü, \x00%/\"'=jwt", "/star*s=jwt", "/x/*=tokens")
	for namespace, want := range map[string]string{
		"/":                              "jwt",
		"/admin":                         "jwt",
		"/Admin":                         "allow", // names are compared byte by byte
		"/admin/":                        "allow",
		"/admin?x=1":                     "allow",
		"/adm":                           "allow",
		"/team-":                         "tokens",
		"/team-a":                        "tokens",
		"/team-open":                     "allow",
		"/team-open-1":                   "allow",
		"/team-open-not":                 "tokens",
		"/a=b":                           "jwt",
		"/a":                             "allow",
		"/ü, \x00%/\"'":                  "jwt",
		"/star*s":                        "jwt", // a star counts at the end only
		"/stars":                         "allow",
		"/x/":                            "tokens",
		"/x":                             "allow",
		"/*":                             "allow",
		"/" + strings.Repeat("n", 10000): "allow",
	} {
		_, name, _ := p.decide(request(namespace, ""), time.Now())
		if name != want {
			t.Errorf("%.40q: policy %q, want %q", namespace, name, want)
		}
	}
}

func TestNoPolicyNoEntry(t *testing.T) {
	p := policies(t, Keys{}, "/open=allow")
	got, name, why := p.decide(request("/other", `{"token":"x"}`), time.Now())
	want := &authn.ConnectReply{Message: "no policy allows this namespace"}
	if !reflect.DeepEqual(got, want) || name != "none" || why != noPolicy {
		t.Errorf("got %+v, %s, %s, want %+v", got, name, why, want)
	}
	got, _, _ = p.decide(request("/open", ""), time.Now())
	if want := (&authn.ConnectReply{Allow: true}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTokens(t *testing.T) {
	for name, keys := range map[string]Keys{"environment": {Tokens: list}, "file": {TokensFile: file(t, list+"\n")}} {
		p := policies(t, keys, "*=tokens")
		for auth, want := range map[string]*authn.ConnectReply{
			`{"token":"s3cret"}`:  {Allow: true, User: "ann", Data: json.RawMessage(`{"role":"admin"}`), Rooms: []string{"staff"}},
			`{"token":"guest"}`:   {Allow: true},
			`{"token":"s3cre"}`:   {Message: "invalid token"},
			`{"token":"S3cret"}`:  {Message: "invalid token"},
			`{"token":" guest"}`:  {Message: "invalid token"},
			`{"token":7}`:         {Message: "invalid token"},
			`{"token":["guest"]}`: {Message: "invalid token"},
			`{"token":""}`:        {Message: "token required"},
			`{"token":null}`:      {Message: "token required"},
			`{"user":"ann"}`:      {Message: "token required"},
			`{}`:                  {Message: "token required"},
			``:                    {Message: "token required"},
		} {
			got, _, _ := p.decide(request("/", auth), time.Now())
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s: got %+v, want %+v", name, auth, got, want)
			}
		}
	}
}

// TestBadConfiguration: what is wrong shows at the start, by name, and never with a secret in it.
func TestBadConfiguration(t *testing.T) {
	hs256 := Keys{JWTAlgorithm: "HS256", JWTKey: strings.Repeat("hush", 8)}
	for _, tt := range []struct {
		name  string
		lines []string
		keys  Keys
		want  string // part of the error
	}{
		{"none", nil, Keys{}, "no policy given"},
		{"no equals sign", []string{"/admin"}, Keys{}, "want <namespace>=<policy>"},
		{"no slash", []string{"admin=allow"}, Keys{}, "begins with /"},
		{"no namespace", []string{"=allow"}, Keys{}, "begins with /"},
		{"unknown policy", []string{"*=deny"}, Keys{}, `"deny"`},
		{"no policy", []string{"*="}, Keys{}, `no policy is called ""`},
		{"twice", []string{"/a=allow", "/a=tokens"}, Keys{Tokens: list}, "one already"},
		{"star twice", []string{"*=allow", "*=allow"}, Keys{}, "one already"},
		{"prefix twice", []string{"/a*=allow", "/a*=allow"}, Keys{}, "one already"},
		{"tokens without list", []string{"*=tokens"}, hs256, "read tokens: none given"},
		{"tokens given twice", []string{"*=tokens"}, Keys{Tokens: list, TokensFile: file(t, list)}, "given twice"},
		{"tokens file missing", []string{"*=tokens"}, Keys{TokensFile: filepath.Join(t.TempDir(), "none")}, "no such file"},
		{"tokens file empty", []string{"*=tokens"}, Keys{TokensFile: file(t, "\n")}, "is empty"},
		{"tokens no JSON", []string{"*=tokens"}, Keys{Tokens: "hush"}, "read tokens"},
		{"tokens an object", []string{"*=tokens"}, Keys{Tokens: `{"hush":{"user":"ann"}}`}, "read tokens"},
		{"tokens twice JSON", []string{"*=tokens"}, Keys{Tokens: list + list}, "more than one"},
		{"tokens empty list", []string{"*=tokens"}, Keys{Tokens: `[]`}, "the list is empty"},
		{"tokens without token", []string{"*=tokens"}, Keys{Tokens: `[{"user":"ann"}]`}, "entry 1 has no token"},
		{"tokens repeated", []string{"*=tokens"}, Keys{Tokens: `[{"token":"hush"},{"token":"hush"}]`}, "entry 2 repeats"},
		{"tokens misspelt", []string{"*=tokens"}, Keys{Tokens: `[{"token":"hush","room":"x"}]`}, `unknown field "room"`},
		{"tokens data no object", []string{"*=tokens"}, Keys{Tokens: `[{"token":"hush","data":"x"}]`}, "data is no object"},
		{"jwt without key", []string{"*=jwt"}, Keys{JWTAlgorithm: "HS256"}, "read jwt key: none given"},
		{"jwt without algorithm", []string{"*=jwt"}, Keys{JWTKey: "hush"}, "no jwt algorithm given"},
		{"jwt algorithm none", []string{"*=jwt"}, Keys{JWTAlgorithm: "none", JWTKey: "hush"}, `"none"`},
		{"jwt algorithm unknown", []string{"*=jwt"}, Keys{JWTAlgorithm: "ES256", JWTKey: "hush"}, `"ES256"`},
		{"jwt algorithm in lower case", []string{"*=jwt"}, Keys{JWTAlgorithm: "hs256", JWTKey: "hush"}, `"hs256"`},
		{"jwt key twice", []string{"*=jwt"}, Keys{JWTAlgorithm: "HS256", JWTKey: "hush", JWTKeyFile: file(t, "x")}, "given twice"},
		{"jwt key file missing", []string{"*=jwt"}, Keys{JWTAlgorithm: "HS256", JWTKeyFile: filepath.Join(t.TempDir(), "none")}, "no such file"},
		{"jwt key file empty", []string{"*=jwt"}, Keys{JWTAlgorithm: "HS256", JWTKeyFile: file(t, "\r\n")}, "is empty"},
		{"RS256 key no PEM", []string{"*=jwt"}, Keys{JWTAlgorithm: "RS256", JWTKey: "hush"}, "RSA public key"},
		{"EdDSA key no PEM", []string{"*=jwt"}, Keys{JWTAlgorithm: "EdDSA", JWTKey: "hush"}, "Ed25519 public key"},
		{"RS256 with an Ed25519 key", []string{"*=jwt"}, Keys{JWTAlgorithm: "RS256", JWTKey: publicPEM(t, newEdKey(t).Public())}, "RSA public key"},
		{"EdDSA with an RSA key", []string{"*=jwt"}, Keys{JWTAlgorithm: "EdDSA", JWTKey: publicPEM(t, newRSAKey(t, 2048).Public())}, "Ed25519 public key"},
		{"HS256 with a public key", []string{"*=jwt"}, Keys{JWTAlgorithm: "HS256", JWTKey: publicPEM(t, newEdKey(t).Public())}, "shared secret"},
		{"RS256 with a private key", []string{"*=jwt"}, Keys{JWTAlgorithm: "RS256", JWTKey: privatePEM(t, newRSAKey(t, 2048))}, "RSA public key"},
		{"RS256 with a short key", []string{"*=jwt"}, Keys{JWTAlgorithm: "RS256", JWTKey: publicPEM(t, newRSAKey(t, 1024).Public())}, "1024 bits"},
	} {
		_, err := ParsePolicies(tt.lines, tt.keys)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: err = %v, want one with %q", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: err = %v, which tells the secret", tt.name, err)
		}
	}
}

// TestKeysNotNeeded: keys of policies that are not used are not read.
func TestKeysNotNeeded(t *testing.T) {
	policies(t, Keys{TokensFile: "/nowhere", JWTKeyFile: "/nowhere", JWTAlgorithm: "x"}, "*=allow")
}
