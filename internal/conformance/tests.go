package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A test is a top-level test function, or with an empty name the package as a whole.
type test struct {
	dir  string // of the package, below the module's
	name string
}

func (t test) String() string { return strings.TrimSuffix(t.dir+"."+t.name, ".") }

// A citation is one number in one place.
type citation struct {
	number number
	test   test
	direct bool   // in the function itself, not in what it calls or uses
	note   string // for an end-to-end scenario, its name
}

// A catalogue is every citation of a module.
type catalogue struct {
	citations []citation
	problems  []string // citations that lead nowhere: file, line, reason
}

// add notes that the tests cite the number.
func (c *catalogue) add(n number, direct bool, tests ...test) {
	for _, t := range tests {
		c.citations = append(c.citations, citation{number: n, test: t, direct: direct})
	}
}

// problem notes what is wrong at a place, which is written as file:line.
func (c *catalogue) problem(at, format string, args ...any) {
	c.problems = append(c.problems, at+": "+fmt.Sprintf(format, args...))
}

// of returns the citations of one number, direct ones first, then by test; one for each test and scenario.
func (c *catalogue) of(n number) []citation {
	var all []citation
	for _, x := range c.citations {
		if x.number == n {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b citation) int {
		if a.direct != b.direct {
			if a.direct {
				return -1
			}
			return 1
		}
		return strings.Compare(a.test.String()+" "+a.note, b.test.String()+" "+b.note)
	})
	seen := map[citation]bool{}
	return slices.DeleteFunc(all, func(x citation) bool {
		x.direct = true
		again := seen[x]
		seen[x] = true
		return again
	})
}

// directories of the packages whose tests cite something, sorted.
func (c *catalogue) directories() []string {
	all := map[string]bool{}
	for _, x := range c.citations {
		all[x.test.dir] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// findCitations looks through the tests and the end-to-end scenarios below root.
func findCitations(root string, list checklist) (*catalogue, error) {
	found, c := &catalogue{}, newCitations(list)
	packages := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case entry.IsDir() && path != root && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")):
			return filepath.SkipDir
		case strings.HasSuffix(name, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if c.first.Match(text) {
				packages[filepath.Dir(path)] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if err := found.readPackage(root, dir, c); err != nil {
			return nil, err
		}
	}
	return found, found.readScenarios(root, c)
}

// relative is the path below root, with slashes.
func relative(root, path string) string {
	if rel, err := filepath.Rel(root, path); err == nil {
		path = rel
	}
	return filepath.ToSlash(path)
}
