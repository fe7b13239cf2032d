package auth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/siomesh/siomesh/internal/mesh/authn"
)

func newRSAKey(tb testing.TB, bits int) *rsa.PrivateKey {
	tb.Helper()
	tb.Setenv("GODEBUG", "rsa1024min=0") // one test wants a key that is too short
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		tb.Fatalf("RSA key: %v", err)
	}
	return key
}

func newEdKey(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatalf("Ed25519 key: %v", err)
	}
	return key
}

func publicPEM(tb testing.TB, key crypto.PublicKey) string {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		tb.Fatalf("marshal key: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func privatePEM(tb testing.TB, key crypto.PrivateKey) string {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatalf("marshal key: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// sign makes a token without the checks of a library: header and claims are JSON as they are to stand in it.
func sign(header, claims string, signature func(text []byte) []byte) string {
	text := encode([]byte(header)) + "." + encode([]byte(claims))
	return text + "." + encode(signature([]byte(text)))
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func hs256(key []byte) func([]byte) []byte {
	return func(text []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(text)
		return h.Sum(nil)
	}
}

func tokenRequest(token string) *authn.ConnectRequest {
	auth, _ := json.Marshal(map[string]string{"token": token}) // strings always can
	return request("/", string(auth))
}

func testTime() time.Time { return time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC) }

func TestJWTAlgorithms(t *testing.T) {
	secret := strings.Repeat("k", 32)
	rsaKey, edKey := newRSAKey(t, 2048), newEdKey(t)
	otherRSA, otherEd := newRSAKey(t, 2048), newEdKey(t)
	signed := func(method jwt.SigningMethod, key any) string {
		t.Helper()
		token, err := jwt.NewWithClaims(method, jwt.MapClaims{"sub": "ann"}).SignedString(key)
		if err != nil {
			t.Fatalf("sign: %v", err)
		}
		return token
	}
	all := map[string]string{
		"HS256":              signed(jwt.SigningMethodHS256, []byte(secret)),
		"HS256, other key":   signed(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32))),
		"HS384":              signed(jwt.SigningMethodHS384, []byte(secret)),
		"HS512":              signed(jwt.SigningMethodHS512, []byte(secret)),
		"RS256":              signed(jwt.SigningMethodRS256, rsaKey),
		"RS256, other key":   signed(jwt.SigningMethodRS256, otherRSA),
		"RS512":              signed(jwt.SigningMethodRS512, rsaKey),
		"PS256":              signed(jwt.SigningMethodPS256, rsaKey),
		"EdDSA":              signed(jwt.SigningMethodEdDSA, edKey),
		"EdDSA, other key":   signed(jwt.SigningMethodEdDSA, otherEd),
		"none":               signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"none in capitals":   sign(`{"alg":"NONE"}`, `{"sub":"ann"}`, func([]byte) []byte { return nil }),
		"HS256, RSA PEM":     sign(`{"alg":"HS256"}`, `{"sub":"ann"}`, hs256([]byte(publicPEM(t, rsaKey.Public())))),
		"HS256, Ed25519 PEM": sign(`{"alg":"HS256"}`, `{"sub":"ann"}`, hs256([]byte(publicPEM(t, edKey.Public())))),
		"HS256, Ed25519 raw": sign(`{"alg":"HS256"}`, `{"sub":"ann"}`, hs256(edKey[32:])),
		"no algorithm":       sign(`{"typ":"JWT"}`, `{"sub":"ann"}`, hs256([]byte(secret))),
	}
	for _, keys := range []Keys{
		{JWTAlgorithm: "HS256", JWTKey: secret},
		{JWTAlgorithm: "HS256", JWTKeyFile: file(t, secret+"\n")},
		{JWTAlgorithm: "RS256", JWTKey: publicPEM(t, rsaKey.Public())},
		{JWTAlgorithm: "RS256", JWTKeyFile: file(t, publicPEM(t, rsaKey.Public()))},
		{JWTAlgorithm: "EdDSA", JWTKey: publicPEM(t, edKey.Public())},
	} {
		p := policies(t, keys, "*=jwt")
		for name, token := range all {
			got, _, _ := p.decide(tokenRequest(token), testTime())
			want := &authn.ConnectReply{Message: "invalid token"}
			if name == keys.JWTAlgorithm {
				want = &authn.ConnectReply{Allow: true, User: "ann", Data: json.RawMessage(`{"sub":"ann"}`)}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: token %s: got %+v, want %+v", keys.JWTAlgorithm, name, got, want)
			}
		}
	}
}

func TestJWTClaims(t *testing.T) {
	key := strings.Repeat("k", 32)
	p := policies(t, Keys{JWTAlgorithm: "HS256", JWTKey: key, JWTIssuer: "login", JWTAudience: "chat"}, "*=jwt")
	refused := func(message string) *authn.ConnectReply { return &authn.ConnectReply{Message: message} }
	for _, tt := range []struct {
		name   string
		claims string
		want   *authn.ConnectReply // nil: allowed, with the claims as they are
		user   string
		until  time.Time
	}{
		{
			name: "all", claims: `{"iss":"login","aud":"chat","sub":"ann","exp":1748779201,"nbf":1748779200,"big":12345678901234567890}`,
			user: "ann", until: testTime().Add(time.Second),
		},
		{name: "audience in a list", claims: `{"iss":"login","aud":["mail","chat"],"sub":"ann"}`, user: "ann"},
		{name: "nobody in particular", claims: `{"iss":"login","aud":"chat"}`},
		{name: "expires after the year 9999", claims: `{"iss":"login","aud":"chat","exp":1735689600000}`},
		{name: "expires now", claims: `{"iss":"login","aud":"chat","exp":1748779200}`, want: refused("token expired")},
		{name: "expired long ago", claims: `{"iss":"login","aud":"chat","exp":1}`, want: refused("token expired")},
		{name: "expired in 1970", claims: `{"iss":"login","aud":"chat","exp":0}`, want: refused("token expired")},
		{name: "expired before", claims: `{"iss":"login","aud":"chat","exp":-5}`, want: refused("token expired")},
		{name: "not yet valid", claims: `{"iss":"login","aud":"chat","nbf":1748779201}`, want: refused("token not yet valid")},
		{name: "wrong audience", claims: `{"iss":"login","aud":"mail"}`, want: refused("invalid token")},
		{name: "wrong audiences", claims: `{"iss":"login","aud":["mail","Chat"]}`, want: refused("invalid token")},
		{name: "no audience", claims: `{"iss":"login"}`, want: refused("invalid token")},
		{name: "wrong issuer", claims: `{"iss":"other","aud":"chat"}`, want: refused("invalid token")},
		{name: "no issuer", claims: `{"aud":"chat"}`, want: refused("invalid token")},
		{name: "expired, for others", claims: `{"iss":"login","aud":"mail","exp":1}`, want: refused("invalid token")},
		{name: "exp no number", claims: `{"iss":"login","aud":"chat","exp":"1948779200"}`, want: refused("invalid token")},
		{name: "exp null", claims: `{"iss":"login","aud":"chat","exp":null}`, want: refused("invalid token")},
		{name: "nbf no number", claims: `{"iss":"login","aud":"chat","nbf":true}`, want: refused("invalid token")},
		{name: "sub no string", claims: `{"iss":"login","aud":"chat","sub":7}`, want: refused("invalid token")},
		{name: "rubbish behind the claims", claims: `{"iss":"login","aud":"chat"} {}`, want: refused("invalid token")},
		{name: "claims null", claims: `null`, want: refused("invalid token")},
		{name: "claims a list", claims: `[]`, want: refused("invalid token")},
		{name: "claims no JSON", claims: `iss=login`, want: refused("invalid token")},
	} {
		want := tt.want
		if want == nil {
			want = &authn.ConnectReply{Allow: true, User: tt.user, Data: json.RawMessage(tt.claims), ExpiresAt: tt.until}
		}
		got, _, _ := p.decide(tokenRequest(sign(`{"alg":"HS256"}`, tt.claims, hs256([]byte(key)))), testTime())
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, want)
		}
	}
}

func TestJWTForms(t *testing.T) {
	key := strings.Repeat("k", 32)
	p := policies(t, Keys{JWTAlgorithm: "HS256", JWTKey: key}, "*=jwt")
	good := sign(`{"alg":"HS256"}`, `{"sub":"ann"}`, hs256([]byte(key)))
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"one part":           "token",
		"two parts":          parts[0] + "." + parts[1],
		"four parts":         good + "." + parts[2],
		"no signature":       parts[0] + "." + parts[1] + ".",
		"padding":            good + "=",
		"other claims":       parts[0] + "." + encode([]byte(`{"sub":"eve"}`)) + "." + parts[2],
		"header no JSON":     encode([]byte("x")) + "." + parts[1] + "." + parts[2],
		"critical extension": sign(`{"alg":"HS256","crit":["exp"]}`, `{"sub":"ann"}`, hs256([]byte(key))),
		"algorithm no text":  sign(`{"alg":["HS256"]}`, `{"sub":"ann"}`, hs256([]byte(key))),
		"control characters": "\x00.\n.\xff",
		"very long":          strings.Repeat("x.", 100000),
	} {
		got, _, why := p.decide(tokenRequest(token), testTime())
		if got.Allow || got.Message != "invalid token" || why != tokenInvalid {
			t.Errorf("%s: got %+v, %s, want invalid token", name, got, why)
		}
	}
	if got, _, _ := p.decide(tokenRequest(good), testTime()); !got.Allow {
		t.Errorf("the good one: got %+v, want allowed", got)
	}
	if got, _, _ := p.decide(request("/", ""), testTime()); got.Message != "token required" {
		t.Errorf("none: got %+v, want token required", got)
	}
}

func TestShortSecretIsWarnedOf(t *testing.T) {
	for length, want := range map[int]int{31: 1, 32: 0} {
		p := policies(t, Keys{JWTAlgorithm: "HS256", JWTKey: strings.Repeat("k", length)}, "/=jwt", "*=jwt")
		if got := len(p.warnings); got != want {
			t.Errorf("secret of %d bytes: %q, want %d warnings", length, p.warnings, want)
		}
	}
}
