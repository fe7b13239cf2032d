package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
)

// presented returns auth.token of a request, or the outcome of a refusal.
func presented(q *authn.ConnectRequest) (string, outcome) {
	if q.Auth == nil {
		return "", tokenRequired
	}
	var auth struct {
		Token json.RawMessage `json:"token"`
	}
	if err := json.Unmarshal(q.Auth, &auth); err != nil {
		return "", malformed
	}
	var token string
	switch err := json.Unmarshal(auth.Token, &token); {
	case len(auth.Token) == 0:
		return "", tokenRequired
	case err != nil:
		return "", tokenInvalid
	case token == "":
		return "", tokenRequired
	}
	return token, allowed
}

// tokens lets in who knows one of a list of secrets.
type tokens struct{ holders []holder }

type holder struct {
	hash    [sha256.Size]byte // of the token: equal lengths, so that comparing takes the same time for all
	verdict *authn.ConnectReply
}

// newTokens reads the list of Keys.
func newTokens(keys Keys) (*tokens, error) {
	text, err := secret(keys.Tokens, keys.TokensFile, "tokens")
	if err != nil {
		return nil, err
	}
	var list []struct {
		Token string          `json:"token"`
		User  string          `json:"user"`
		Data  json.RawMessage `json:"data"`
		Rooms []string        `json:"rooms"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil { // a syntax error tells an offset, no part of the text
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read tokens: more than one JSON value")
	}
	if len(list) == 0 {
		return nil, errors.New("read tokens: the list is empty")
	}
	t := &tokens{}
	seen := map[string]bool{}
	for i, one := range list {
		switch data := one.Data; {
		case one.Token == "":
			return nil, fmt.Errorf("read tokens: entry %d has no token", i+1)
		case seen[one.Token]:
			return nil, fmt.Errorf("read tokens: entry %d repeats a token", i+1)
		case data != nil && data[0] != '{':
			return nil, fmt.Errorf("read tokens: entry %d: data is no object", i+1)
		}
		seen[one.Token] = true
		t.holders = append(t.holders, holder{
			hash:    sha256.Sum256([]byte(one.Token)),
			verdict: &authn.ConnectReply{Allow: true, User: one.User, Data: one.Data, Rooms: one.Rooms},
		})
	}
	return t, nil
}

// decide compares with every token of the list, so that the time tells nothing.
func (t *tokens) decide(shown credential, _ time.Time) (*authn.ConnectReply, outcome) {
	token, why := shown()
	if why != allowed {
		return refuse(why), why
	}
	hash := sha256.Sum256([]byte(token))
	found := -1
	for i := range t.holders {
		same := subtle.ConstantTimeCompare(hash[:], t.holders[i].hash[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return refuse(tokenInvalid), tokenInvalid
	}
	return t.holders[found].verdict, allowed
}
