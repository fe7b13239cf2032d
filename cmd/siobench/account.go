package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// account is what a server says of itself at /account of its internal port: after a POST it has collected its garbage and
// given free memory back before.
type account struct {
	AnonymousKB int64 `json:"anonymous_kb"`
	HeapKB      int64 `json:"heap_kb"`
	StackKB     int64 `json:"stack_kb"`
	Goroutines  int64 `json:"goroutines"`
	Descriptors int64 `json:"descriptors"`
	CPUMicros   int64 `json:"cpu_us"`

	at time.Time
}

const accountTimeout = 30 * time.Second

// collected asks for an account behind a collection of garbage, spent for one without.
func (c *config) collected() (account, error) { return askAccount(http.MethodPost, c.internal) }
func (c *config) spent() (account, error)     { return askAccount(http.MethodGet, c.internal) }

func askAccount(method, base string) (account, error) {
	a := account{at: time.Now()}
	if base == "" {
		return a, errors.New("--internal is needed: the server's own account of itself")
	}
	ctx, cancel := context.WithTimeout(context.Background(), accountTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+"/account", nil)
	if err != nil {
		return a, err
	}
	req.Close = true // no connection stays among those that are counted
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return a, fmt.Errorf("%s %s: %s", method, req.URL, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("%s %s: %w", method, req.URL, err)
	}
	return a, nil
}

// quiet waits until the server has as many goroutines and descriptors as a moment ago, three times over, and returns its
// account then.
func (c *config) quiet() (account, error) {
	const (
		patience = 30 * time.Second
		enough   = 3
	)
	last, err := c.spent()
	same := 0
	for end := time.Now().Add(patience); err == nil && same < enough && time.Now().Before(end); {
		pause(c.settle / 4)
		var a account
		if a, err = c.spent(); a.Goroutines == last.Goroutines && a.Descriptors == last.Descriptors {
			same++
		} else {
			same = 0
		}
		last = a
	}
	if err != nil {
		return last, err
	}
	return c.collected()
}
