package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// checklistFile holds the numbered lines.
const checklistFile = "docs/checklist.md"

// A number names a line of the checklist, like PAR-016.
type number string

// A group is the lines with one prefix, in order.
type group struct {
	prefix string
	title  string // the heading the lines stand under
	lines  []line
}

// A line is one thing that the reference does.
type line struct {
	number number
	text   string // without the sources in brackets
}

// checklist is the groups, in the order of the file.
type checklist struct {
	groups []group
	known  map[number]bool
}

// checklistLine is `- PAR-001 Text of the line. [sources]`.
var checklistLine = regexp.MustCompile(`^- ([A-Z][A-Z0-9]*)-(\d{3}) (.+?)(?: \[[^\[\]]*\])?$`)

// readChecklist reads docs/checklist.md below root.
func readChecklist(root string) (checklist, error) {
	text, err := os.ReadFile(filepath.Join(root, checklistFile))
	if err != nil {
		return checklist{}, err
	}
	list, err := parseChecklist(text)
	if err != nil {
		return checklist{}, fmt.Errorf("%s: %w", checklistFile, err)
	}
	return list, nil
}

// parseChecklist takes the text of the file apart. The lines of a group stand together, and their numbers ascend.
func parseChecklist(text []byte) (checklist, error) {
	list := checklist{known: map[number]bool{}}
	title := ""
	seen := map[string]bool{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if heading, ok := strings.CutPrefix(s.Text(), "## "); ok {
			title = heading
			continue
		}
		if !strings.HasPrefix(s.Text(), "- ") {
			continue
		}
		m := checklistLine.FindStringSubmatch(s.Text())
		if m == nil {
			return checklist{}, fmt.Errorf("no number in %q", s.Text())
		}
		prefix, n := m[1], number(m[1]+"-"+m[2])
		if last := len(list.groups) - 1; last < 0 || list.groups[last].prefix != prefix {
			if seen[prefix] {
				return checklist{}, fmt.Errorf("%s stands apart from its group", n)
			}
			seen[prefix] = true
			list.groups = append(list.groups, group{prefix: prefix, title: title})
		}
		g := &list.groups[len(list.groups)-1]
		if k := len(g.lines); k > 0 && g.lines[k-1].number >= n {
			return checklist{}, fmt.Errorf("%s follows %s", n, g.lines[k-1].number)
		}
		g.lines = append(g.lines, line{n, m[3]})
		list.known[n] = true
	}
	if len(list.groups) == 0 {
		return checklist{}, fmt.Errorf("no numbered lines")
	}
	return list, nil
}

// prefixes are those of all groups.
func (c checklist) prefixes() []string {
	var all []string
	for _, g := range c.groups {
		all = append(all, g.prefix)
	}
	return all
}

// numbers are those of all lines, in the order of the file.
func (c checklist) numbers() []number {
	var all []number
	for _, g := range c.groups {
		all = append(all, g.numbers()...)
	}
	return all
}

func (g group) numbers() []number {
	var all []number
	for _, l := range g.lines {
		all = append(all, l.number)
	}
	return all
}
