package auth

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"

	"github.com/golang-jwt/jwt/v5"
)

// Keys are what the policies tokens and jwt compare with. Of each pair of fields, one is to be set: the text itself, as it
// comes from the environment, or a file that holds it.
type Keys struct {
	// Tokens and TokensFile are the list of policy tokens, JSON:
	//
	//	[{"token":"…","user":"ann","data":{"role":"admin"},"rooms":["staff"]}, …]
	//
	// where all but token may be left out.
	Tokens, TokensFile string

	// JWTAlgorithm is the only algorithm that policy jwt accepts: HS256, RS256 or EdDSA. A token cannot choose.
	JWTAlgorithm string
	// JWTKey and JWTKeyFile are the key to verify with: for HS256 the shared secret (at least 32 bytes, please; one line
	// break at the end of a file is not part of it), otherwise the public key or certificate in PEM.
	JWTKey, JWTKeyFile string
	// JWTIssuer and JWTAudience, if not empty, must be the token's iss, and its aud or one of it.
	JWTIssuer, JWTAudience string
}

// secret returns the text or the content of the file, whichever is set. The error names what it is for.
func secret(text, file, what string) ([]byte, error) {
	switch {
	case text != "" && file != "":
		return nil, fmt.Errorf("read %s: given twice, as text and as file", what)
	case text != "":
		return []byte(text), nil
	case file == "":
		return nil, fmt.Errorf("read %s: none given", what)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 {
		return nil, fmt.Errorf("read %s: %s is empty", what, file)
	}
	return data, nil
}

const (
	minSecret  = 32 // bytes, RFC 7518 section 3.2
	minModulus = 2048
)

// verifyingKey returns the key of an algorithm from its text, and a warning if it is weak.
func verifyingKey(algorithm string, text []byte) (key any, warning string, err error) {
	switch algorithm {
	case "HS256":
		if bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN ")) {
			return nil, "", errors.New("read jwt key: HS256 wants a shared secret, this is a PEM file")
		}
		if len(text) < minSecret {
			warning = fmt.Sprintf("the HS256 secret is shorter than %d bytes", minSecret)
		}
		return text, warning, nil
	case "RS256":
		public, err := jwt.ParseRSAPublicKeyFromPEM(text)
		if err != nil {
			return nil, "", fmt.Errorf("read jwt key: RS256 wants an RSA public key in PEM: %w", err)
		}
		if bits := public.N.BitLen(); bits < minModulus {
			return nil, "", fmt.Errorf("read jwt key: an RSA key of %d bits is too short, want %d", bits, minModulus)
		}
		return public, "", nil
	case "EdDSA":
		public, err := jwt.ParseEdPublicKeyFromPEM(text)
		if err != nil {
			return nil, "", fmt.Errorf("read jwt key: EdDSA wants an Ed25519 public key in PEM: %w", err)
		}
		ed, ok := public.(ed25519.PublicKey)
		if !ok {
			return nil, "", fmt.Errorf("read jwt key: EdDSA wants an Ed25519 public key, this is %T", public)
		}
		return ed, "", nil
	case "":
		return nil, "", errors.New("no jwt algorithm given: want HS256, RS256 or EdDSA")
	default:
		return nil, "", fmt.Errorf("jwt algorithm %.20q: want HS256, RS256 or EdDSA", algorithm)
	}
}
