package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/siomesh/siomesh/internal/mesh/authn"
)

// jwtPolicy lets in who shows a JSON Web Token (RFC 7519) that the configured key verifies: sub becomes the user, exp the
// end of the permission, and all the claims socket.data.
type jwtPolicy struct {
	algorithm string
	key       any
	options   []jwt.ParserOption
}

func newJWT(keys Keys) (*jwtPolicy, string, error) {
	text, err := secret(keys.JWTKey, keys.JWTKeyFile, "jwt key")
	if err != nil {
		return nil, "", err
	}
	key, warning, err := verifyingKey(keys.JWTAlgorithm, text)
	if err != nil {
		return nil, "", err
	}
	p := &jwtPolicy{algorithm: keys.JWTAlgorithm, key: key, options: []jwt.ParserOption{
		jwt.WithValidMethods([]string{keys.JWTAlgorithm}),
		jwt.WithStrictDecoding(),
		jwt.WithJSONNumber(), // without it, exp 0 counts as absent
	}}
	if keys.JWTIssuer != "" {
		p.options = append(p.options, jwt.WithIssuer(keys.JWTIssuer))
	}
	if keys.JWTAudience != "" {
		p.options = append(p.options, jwt.WithAudience(keys.JWTAudience))
	}
	return p, warning, nil
}

func (p *jwtPolicy) decide(shown credential, now time.Time) (*authn.ConnectReply, outcome) {
	token, why := shown()
	if why != allowed {
		return refuse(why), why
	}
	verdict, why := p.verify(token, now)
	if why != allowed {
		return refuse(why), why
	}
	return verdict, allowed
}

func (p *jwtPolicy) verify(token string, now time.Time) (*authn.ConnectReply, outcome) {
	parser := jwt.NewParser(append(p.options[:len(p.options):len(p.options)], jwt.WithTimeFunc(func() time.Time { return now }))...)
	claims := jwt.MapClaims{}
	if _, err := parser.ParseWithClaims(token, claims, p.keyOf); err != nil {
		return nil, outcomeOf(err)
	}
	user, err := claims.GetSubject()
	if err != nil {
		return nil, tokenInvalid
	}
	expires, err := expiry(claims)
	if err != nil {
		return nil, tokenInvalid
	}
	data, err := payload(token)
	if err != nil {
		return nil, tokenInvalid
	}
	return &authn.ConnectReply{Allow: true, User: user, Data: data, ExpiresAt: expires}, allowed
}

// keyOf is asked once the algorithm is known to be the configured one. RFC 7515 section 4.1.11: extensions that are
// declared critical and not understood make a token invalid; none is understood.
func (p *jwtPolicy) keyOf(token *jwt.Token) (any, error) {
	if _, critical := token.Header["crit"]; critical {
		return nil, errors.New("critical extensions are not understood")
	}
	return p.key, nil
}

// outcomeOf tells an honest client with an old token that it is old. Everything else, also together with that, is one and
// the same.
func outcomeOf(err error) outcome {
	for _, other := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenRequiredClaimMissing,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer, jwt.ErrInvalidType,
	} {
		if errors.Is(err, other) {
			return tokenInvalid
		}
	}
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return tokenExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return tokenEarly
	default:
		return tokenInvalid
	}
}

// expiry returns exp, or the zero time if there is none or it lies beyond what RFC 3339 can write.
func expiry(claims jwt.MapClaims) (time.Time, error) {
	exp, err := claims.GetExpirationTime()
	if err != nil || exp == nil || exp.UTC().Year() > 9999 {
		return time.Time{}, err
	}
	return exp.UTC(), nil
}

// payload returns the claims of a verified token as they were written, so that no number loses digits.
func payload(token string) (json.RawMessage, error) {
	_, rest, _ := strings.Cut(token, ".")
	segment, _, _ := strings.Cut(rest, ".")
	data, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return nil, err
	}
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(data, &claims); err != nil {
		return nil, err
	}
	if claims == nil {
		return nil, errors.New("the claims are null")
	}
	return data, nil
}
