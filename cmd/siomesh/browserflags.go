package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/siomesh/siomesh/services/edge"
)

// corsFlags say which pages of other origins may use the endpoint, by the names of the reference's option cors.
type corsFlags struct {
	CORSOrigin               []string      `name:"cors-origin" sep:"none" placeholder:"ORIGIN" help:"Origin that may use the endpoint from a browser, * for all; repeat it."`
	CORSMethods              []string      `name:"cors-methods" placeholder:"METHOD" help:"Methods allowed in preflights, comma-separated; default GET, HEAD, PUT, PATCH, POST and DELETE."`
	CORSAllowedHeaders       []string      `name:"cors-allowed-headers" placeholder:"HEADER" help:"Headers of requests allowed in preflights, comma-separated; default whichever the browser asks for."`
	CORSExposedHeaders       []string      `name:"cors-exposed-headers" placeholder:"HEADER" help:"Headers of responses that pages may read, comma-separated."`
	CORSCredentials          bool          `name:"cors-credentials" default:"true" negatable:"" help:"Allow cookies in requests of other origins; never with the origin *."`
	CORSMaxAge               time.Duration `name:"cors-max-age" default:"0s" help:"How long browsers may remember a preflight; 0s leaves it to them."`
	CORSOptionsSuccessStatus int           `name:"cors-options-success-status" default:"204" placeholder:"STATUS" help:"Status of preflights."`
}

func (f *corsFlags) cors() edge.CORS {
	return edge.CORS{
		Origins: f.CORSOrigin, Methods: f.CORSMethods, AllowedHeaders: f.CORSAllowedHeaders, ExposedHeaders: f.CORSExposedHeaders,
		DisableCredentials: !f.CORSCredentials, MaxAge: f.CORSMaxAge, OptionsSuccessStatus: f.CORSOptionsSuccessStatus,
	}
}

// cookieFlags are the cookie with the session's id, by the names of the reference's option cookie.
type cookieFlags struct {
	Cookie         string        `placeholder:"NAME" help:"Cookie that gets the session id, for balancers that route by it; none if empty."`
	CookiePath     string        `default:"/" help:"Its path; left out if empty."`
	CookieDomain   string        `placeholder:"DOMAIN" help:"Its domain; left out if empty."`
	CookieHTTPOnly bool          `name:"cookie-http-only" default:"true" negatable:"" help:"Keep it from scripts."`
	CookieSecure   bool          `help:"Send it over HTTPS only."`
	CookieSameSite string        `enum:"lax,strict,none,unset" default:"lax" placeholder:"MODE" help:"lax, strict, none or unset."`
	CookieMaxAge   time.Duration `default:"0s" help:"How long it lives; 0s is until the browser closes."`
}

// cookie is nil for none.
func (f *cookieFlags) cookie() (*http.Cookie, error) {
	if f.Cookie == "" {
		return nil, nil //nolint:nilnil // no cookie is no error
	}
	if f.CookieMaxAge < 0 {
		return nil, fmt.Errorf("--cookie-max-age %s: want 0s or more", f.CookieMaxAge)
	}
	c := &http.Cookie{
		Name: f.Cookie, Path: f.CookiePath, Domain: f.CookieDomain, HttpOnly: f.CookieHTTPOnly, Secure: f.CookieSecure,
		MaxAge: int(f.CookieMaxAge / time.Second),
	}
	switch f.CookieSameSite {
	case "lax":
		c.SameSite = http.SameSiteLaxMode
	case "strict":
		c.SameSite = http.SameSiteStrictMode
	case "none":
		c.SameSite = http.SameSiteNoneMode
	}
	if err := c.Valid(); err != nil {
		return nil, fmt.Errorf("--cookie %q: %w", f.Cookie, err)
	}
	return c, nil
}
