package auth

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// FuzzDecide asks the service whatever may come as a question, with whatever may come as a token: each question gets a
// verdict that edges understand, and nobody is let in without the secret.
func FuzzDecide(f *testing.F) {
	key := strings.Repeat("k", 32)
	good := sign(`{"alg":"HS256"}`, `{"sub":"ann","exp":4000000000}`, hs256([]byte(key)))
	bad := sign(`{"alg":"none","crit":["x"]}`, `{"sub":1,"exp":1e400,"nbf":-1}`, func([]byte) []byte { return nil })
	for _, token := range []string{good, good + "x", bad, "a.b.c", "..", "", "staff-7d1f0c"} {
		f.Add([]byte(`{"namespace":"/jwt","auth":{}}`), token)
		f.Add([]byte(`{"namespace":"/tokens","auth":{},"handshake":{"headers":{"authorization":["a","b"]}}}`), token)
	}
	keys := Keys{Tokens: `[{"token":"staff-7d1f0c","user":"ann"}]`, JWTAlgorithm: "HS256", JWTKey: key}
	policies, err := ParsePolicies([]string{"/jwt=jwt", "/tokens=tokens"}, keys)
	if err != nil {
		f.Fatal(err)
	}
	handshake, err := ParseHandshakePolicy("jwt", keys)
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(bus.NewMemory(), mesh.Subjects{}, slog.New(slog.DiscardHandler), Config{Policies: policies, Handshake: handshake})
	if err != nil {
		f.Fatal(err)
	}
	secrets := []string{good, "staff-7d1f0c"}
	f.Fuzz(func(t *testing.T, question []byte, token string) {
		check := func(data []byte) {
			verdict, err := json.Marshal(s.connect(data))
			if err != nil {
				t.Fatalf("verdict on %s: %v", data, err)
			}
			reply, err := authn.DecodeConnectReply(verdict)
			if err != nil {
				t.Fatalf("verdict %s: %v", verdict, err)
			}
			shows := bytes.ContainsRune(data, '\\') // escaped, so perhaps
			for _, secret := range secrets {
				shows = shows || bytes.Contains(data, []byte(secret))
			}
			if reply.Allow && !shows {
				t.Fatalf("%s was let in", data)
			}
			if verdict, err = json.Marshal(s.handshake(data)); err != nil {
				t.Fatalf("verdict on the handshake %s: %v", data, err)
			}
			if _, err := authn.DecodeHandshakeReply(verdict); err != nil {
				t.Fatalf("verdict on the handshake %s: %v", verdict, err)
			}
		}
		check(question)
		q, err := authn.DecodeConnectRequest(question)
		if err != nil {
			return
		}
		q.Auth, err = json.Marshal(map[string]string{"token": token})
		q.Handshake.Headers = map[string]authn.Values{"authorization": {"Bearer " + token}}
		if err != nil {
			t.Fatal(err)
		}
		if data, err := json.Marshal(q); err == nil { // else its time is none that JSON can hold
			check(data)
		}
	})
}
