package authn_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/authn"
)

// FuzzDecodeConnectRequest: a question that is understood is the same when it is asked again.
func FuzzDecodeConnectRequest(f *testing.F) {
	f.Add([]byte(`{"namespace":"/chat","socket":"s","auth":{"token":"t"},"handshake":{"headers":{"a":"b","c":["d","e"]},"query":{"x":[]},"time":"2030-01-02T03:04:05Z"}}`))
	f.Add([]byte(`{"namespace":"/\ud800","auth":null}`))
	f.Add([]byte(`{"namespace":"/","auth":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := authn.DecodeConnectRequest(data)
		if err != nil {
			return
		}
		if q.Namespace[0] != '/' || q.Auth != nil && q.Auth[0] != '{' {
			t.Fatalf("%s was taken as namespace %q, auth %s", data, q.Namespace, q.Auth)
		}
		same(t, q, authn.DecodeConnectRequest)
	})
}

// FuzzDecodeHandshakeRequest is the same for sessions.
func FuzzDecodeHandshakeRequest(f *testing.F) {
	f.Add([]byte(`{"handshake":{"headers":{"cookie":"a=b"},"query":{},"address":"::1","secure":true,"url":"/socket.io/?EIO=4","time":"2030-01-02T03:04:05Z"}}`))
	f.Add([]byte(`{"handshake":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := authn.DecodeHandshakeRequest(data); err == nil {
			same(t, q, authn.DecodeHandshakeRequest)
		}
	})
}

// same fails unless v is decoded from its own encoding; what encoding/json compacts is so from the second time on.
func same[T any](t *testing.T, v *T, decode func([]byte) (*T, error)) {
	t.Helper()
	again := func(v *T) *T {
		t.Helper()
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("marshal %+v: %v", v, err)
		}
		decoded, err := decode(encoded)
		if err != nil {
			t.Fatalf("decode %s: %v", encoded, err)
		}
		return decoded
	}
	second := again(v)
	if third := again(second); !reflect.DeepEqual(second, third) {
		t.Fatalf("got %+v, want %+v", third, second)
	}
}
