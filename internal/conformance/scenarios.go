package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// exported is the line that begins a scenario.
var exported = regexp.MustCompile(`^export (?:async )?(?:function|const) (\w+)`)

// readScenarios finds the citations of e2e/scenarios/*.mjs, which TestEndToEnd runs. A citation belongs to the exported
// function it stands in, or else to the next one.
func (c *catalogue) readScenarios(root string, cite citations) error {
	files, err := filepath.Glob(filepath.Join(root, apart, "scenarios", "*.mjs"))
	if err != nil {
		return err
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c.readScenario(relative(root, path), text, cite)
	}
	return nil
}

func (c *catalogue) readScenario(path string, text []byte, cite citations) {
	file := strings.TrimSuffix(filepath.Base(path), ".mjs")
	scenario := ""         // the one that is open
	var waiting []citation // for the next one
	lineNo := 0
	for raw := range bytes.Lines(text) {
		lineNo++
		at := fmt.Sprintf("%s:%d", path, lineNo)
		s := strings.TrimRight(string(raw), "\r\n")
		if m := exported.FindStringSubmatch(s); m != nil {
			scenario = file + "/" + m[1]
			for _, x := range waiting {
				x.note = scenario
				c.citations = append(c.citations, x)
			}
			waiting = nil
		}
		numbers, problems := cite.in(s)
		for _, p := range problems {
			c.problem(at, "%s", p)
		}
		for _, n := range numbers {
			x := citation{number: n, test: test{apart, "TestEndToEnd"}, direct: true, note: scenario}
			if scenario == "" {
				waiting = append(waiting, x)
			} else {
				c.citations = append(c.citations, x)
			}
		}
		if strings.HasPrefix(s, "}") {
			scenario = ""
		}
	}
	for _, x := range waiting {
		c.problem(path, "%s stands behind the last scenario", x.number)
	}
}
