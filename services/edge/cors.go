package edge

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rs/cors"
)

// CORS says who may use the endpoint from a browser; the zero value sends no CORS headers.
type CORS struct {
	Origins        []string // allowed origins, "*" for all; none: no CORS headers
	Methods        []string // allowed in preflights, default GET, HEAD, PUT, PATCH, POST and DELETE
	AllowedHeaders []string // of requests, default whichever the browser asks for
	ExposedHeaders []string // of responses, that pages may read; default none

	// DisableCredentials keeps cookies and the like out of requests of other origins. With the origin "*" they are never
	// allowed.
	DisableCredentials   bool
	MaxAge               time.Duration // how long browsers may remember a preflight, in whole seconds; 0 leaves it to them
	OptionsSuccessStatus int           // of preflights, default 204
}

// options are nil if nothing is allowed.
func (c CORS) options() *cors.Options {
	if len(c.Origins) == 0 {
		return nil
	}
	return &cors.Options{
		AllowedOrigins: c.Origins, AllowedMethods: c.Methods, AllowedHeaders: c.AllowedHeaders, ExposedHeaders: c.ExposedHeaders,
		AllowCredentials:     !c.DisableCredentials && !slices.Contains(c.Origins, "*"),
		MaxAge:               int(c.MaxAge / time.Second),
		OptionsSuccessStatus: c.OptionsSuccessStatus,
	}
}

func (c CORS) validate() error {
	if c.MaxAge < 0 || c.MaxAge/time.Second > math.MaxInt32 {
		return fmt.Errorf("CORS max age %s: want 0 or more", c.MaxAge)
	}
	if s := c.OptionsSuccessStatus; s != 0 && (s < 200 || s > 299) {
		return fmt.Errorf("CORS status %d of preflights: want 200 to 299", s)
	}
	return nil
}
