package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// documentFile is the document with the generated part, which stands between the marks.
const (
	documentFile = "docs/conformance.md"
	beginMark    = "<!-- generated: do not edit -->\n"
	endMark      = "<!-- end of generated part -->\n"
)

// atMost is how many tests one line of a table names.
const atMost = 3

// render writes the generated part: a table of counts, then a table for each group. It depends on which tests passed, but
// not on whether the end-to-end tests were among them.
func render(list checklist, v verdict) []byte {
	var b bytes.Buffer
	b.WriteString("Made by `make conformance` from the numbers that tests cite and from whether those tests passed.\n\n")
	b.WriteString("| group | about | lines | covered | end to end | different | not yet |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, g := range list.groups {
		row(&b, g.prefix, g.title, v, g.numbers())
	}
	row(&b, "all", "", v, list.numbers())
	for _, g := range list.groups {
		fmt.Fprintf(&b, "\n### %s: %s\n\n%s\n\n| line | the reference | here |\n|---|---|---|\n", g.prefix, g.title, v.count(g.numbers()))
		for _, l := range g.lines {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", l.number, cell(l.text), cell(v.say(l.number)))
		}
	}
	return b.Bytes()
}

func row(b *bytes.Buffer, name, about string, v verdict, numbers []number) {
	fmt.Fprintf(b, "| %s | %s | %d | %d | %d | %d | %d |\n", name, cell(about), len(numbers),
		v.in(covered, numbers), v.in(endToEnd, numbers), v.in(different, numbers), v.in(notYet, numbers))
}

// cell makes text fit for a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// say tells the state of a line.
func (v verdict) say(n number) string {
	switch v.states[n] {
	case covered:
		return "covered by " + v.tests(n)
	case endToEnd:
		return "end to end: " + v.tests(n)
	case different:
		d := v.different[n]
		return fmt.Sprintf("different on purpose: %s; %s (`%s`)", d.Instead, d.Why, d.Test)
	default:
		return "not yet"
	}
}

// tests names the tests of a line: those of packages first, then scenarios, which are parts of one test.
func (v verdict) tests(n number) string {
	var functions, scenarios []string
	for _, x := range v.citations[n] {
		switch {
		case x.note != "":
			scenarios = append(scenarios, "scenario `"+x.note+"`")
		case x.test.name == "":
			functions = append(functions, "all of `"+x.test.dir+"`")
		default:
			functions = append(functions, "`"+x.test.String()+"`")
		}
	}
	names := slices.Concat(functions, scenarios)
	if len(names) > atMost {
		names = append(names[:atMost], "and others") // their number would change the document with every test
	}
	return strings.Join(names, ", ")
}

// updateDocument puts the generated part into the document, or with check says where they differ.
func updateDocument(root string, part []byte, check bool) error {
	path := filepath.Join(root, documentFile)
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed, err := replacePart(old, part)
	if err != nil {
		return fmt.Errorf("%s: %w", documentFile, err)
	}
	if bytes.Equal(old, changed) {
		return nil
	}
	if check {
		return fmt.Errorf("%s is not up to date, run make conformance\n%s", documentFile, difference(old, changed))
	}
	return os.WriteFile(path, changed, 0o644)
}

// replacePart puts part between the marks.
func replacePart(text, part []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(text, []byte(beginMark))
	if !ok {
		return nil, errors.New("the generated part has no beginning: " + strings.TrimSpace(beginMark))
	}
	_, after, ok := bytes.Cut(rest, []byte(endMark))
	if !ok {
		return nil, errors.New("the generated part has no end: " + strings.TrimSpace(endMark))
	}
	return slices.Concat(before, []byte(beginMark+"\n"), part, []byte("\n"+endMark), after), nil
}

// difference shows the first lines that only one of the two texts has.
func difference(old, changed []byte) string {
	const most = 10
	var out []string
	only := func(sign string, here, there []byte) {
		have := map[string]bool{}
		for l := range bytes.Lines(there) {
			have[string(l)] = true
		}
		for l := range bytes.Lines(here) {
			if !have[string(l)] {
				out = append(out, sign+" "+strings.TrimSpace(string(l)))
			}
		}
	}
	only("-", old, changed)
	only("+", changed, old)
	slices.SortStableFunc(out, func(a, b string) int { return strings.Compare(a[1:min(len(a), 12)], b[1:min(len(b), 12)]) })
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d more", len(out)-most))
	}
	return strings.Join(out, "\n")
}
