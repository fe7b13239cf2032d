package main

import (
	"fmt"
	"slices"
)

// A state is what can be said of a line.
type state int

const (
	notYet    state = iota // no test, or none that passed
	endToEnd               // only the end-to-end tests cite it
	covered                // a test cites it and passes
	different              // it is done otherwise, and a test holds that
)

// A verdict is the state of every line.
type verdict struct {
	states    map[number]state
	citations map[number][]citation // of tests that passed, and of the end-to-end tests
	different map[number]deviation
	problems  []string // why the document must not be written
}

// judge puts together what is asked, what the tests cite, and how they ended.
func judge(list checklist, notes deviations, found *catalogue, got results) verdict {
	v := verdict{
		states:    map[number]state{},
		citations: map[number][]citation{},
		different: notes.different,
		problems:  failures(found, got),
	}
	for _, n := range list.numbers() {
		passing := v.note(n, found.of(n), got)
		if d, is := v.different[n]; is && passing[d.Test] {
			v.states[n] = different
		} else if is {
			v.problems = append(v.problems, fmt.Sprintf("%s is different on purpose, but %s does not cite it and pass", n, d.Test))
		}
		if notes.complete[n] && v.states[n] == notYet {
			v.problems = append(v.problems, fmt.Sprintf("%s has no passing test, and must have one (%s)", n, deviationsFile))
		}
	}
	return v
}

// note records what the citations of a line make of it, and returns the tests that passed: none if one failed.
func (v *verdict) note(n number, all []citation, got results) (passing map[string]bool) {
	passing = map[string]bool{}
	for _, x := range all {
		switch o := got[x.test]; {
		case o == failed:
			v.states[n], v.citations[n] = notYet, nil
			return nil
		case x.test.dir == apart && o != skipped: // it may not have run
			v.states[n] = max(v.states[n], endToEnd)
			v.citations[n] = append(v.citations[n], x)
		case o == passed:
			v.states[n] = covered
			v.citations[n] = append(v.citations[n], x)
		}
		if got[x.test] == passed {
			passing[x.test.String()] = true
		}
	}
	return passing
}

// failures lists the tests that failed, and the packages that did without one. A cited test that ran nowhere fails too: its
// package did not build, or the wrong packages were run.
func failures(found *catalogue, got results) []string {
	var all []string
	culprit := map[string]bool{}
	for t, o := range got {
		if o == failed && t.name != "" {
			culprit[t.dir] = true
			all = append(all, t.String()+" failed")
		}
	}
	for t, o := range got {
		if o == failed && t.name == "" && !culprit[t.dir] {
			culprit[t.dir] = true
			all = append(all, t.String()+" failed as a package")
		}
	}
	for _, x := range found.citations {
		ran := x.test.dir != apart || got[test{dir: apart}] != absent
		if got[x.test] == absent && ran && !culprit[x.test.dir] {
			all = append(all, fmt.Sprintf("%s is cited for lines of the checklist, but did not run", x.test))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// in counts the lines that are in a state.
func (v verdict) in(s state, numbers []number) int {
	count := 0
	for _, n := range numbers {
		if v.states[n] == s {
			count++
		}
	}
	return count
}

// count says how many of the lines are in which state.
func (v verdict) count(numbers []number) string {
	return fmt.Sprintf("lines: %d, covered: %d, end to end: %d, different on purpose: %d, not yet: %d",
		len(numbers), v.in(covered, numbers), v.in(endToEnd, numbers), v.in(different, numbers), v.in(notYet, numbers))
}
