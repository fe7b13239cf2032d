package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An outcome is how a test ended; of several, the worst counts.
type outcome int

const (
	absent  outcome = iota // it did not run, or did not end
	passed                 //
	skipped                // itself or a part of it
	failed
)

func (o outcome) String() string {
	return [...]string{"did not run", "passed", "was skipped", "failed"}[o]
}

// results are the outcomes of tests, and under an empty name those of packages. The directories are import paths.
type results map[test]outcome

// read adds what `go test -json` wrote. A part of a test, which has a slash in its name, counts for the test only by being
// skipped: if it fails, so does the test.
func (r results) read(from io.Reader) error {
	for d := json.NewDecoder(from); ; {
		var event struct{ Action, Package, Test string }
		if err := d.Decode(&event); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the output of go test -json: %w", err)
		}
		name, _, part := strings.Cut(event.Test, "/")
		o := map[string]outcome{"pass": passed, "skip": skipped, "fail": failed}[event.Action]
		if part && o == passed || event.Package == "" {
			continue
		}
		key := test{event.Package, name}
		r[key] = max(r[key], o)
	}
}

// below returns the results with directories below the module's.
func (r results) below(module string) results {
	all := results{}
	for t, o := range r {
		if dir, ok := strings.CutPrefix(t.dir, module+"/"); ok {
			all[test{dir, t.name}] = o
		}
	}
	return all
}
