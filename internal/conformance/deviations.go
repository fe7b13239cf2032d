package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// deviationsFile says which lines are held otherwise, and which must be held.
const deviationsFile = "docs/deviations.yaml"

// deviations is what the file says.
type deviations struct {
	// complete lists numbers that must have a test.
	complete map[number]bool
	// different are the lines that are not done as the reference does them.
	different map[number]deviation
}

// A deviation is one line that is different on purpose.
type deviation struct {
	Why     string `yaml:"why"`
	Instead string `yaml:"instead"`
	Test    string `yaml:"test"` // package directory, dot, function; it cites the number
}

// readDeviations reads docs/deviations.yaml below root.
func readDeviations(root string, list checklist) (deviations, error) {
	text, err := os.ReadFile(filepath.Join(root, deviationsFile))
	if err != nil {
		return deviations{}, err
	}
	notes, err := parseDeviations(text, list)
	if err != nil {
		return deviations{}, fmt.Errorf("%s: %w", deviationsFile, err)
	}
	return notes, nil
}

// parseDeviations takes the text of the file apart. An entry of `complete` is a group (PAR) or is written like a citation.
func parseDeviations(text []byte, list checklist) (deviations, error) {
	var file struct {
		Complete  []string             `yaml:"complete"`
		Different map[number]deviation `yaml:"different"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return deviations{}, err
	}
	notes := deviations{complete: map[number]bool{}, different: file.Different}
	cite := newCitations(list)
	for _, entry := range file.Complete {
		numbers, problems := cite.in(entry)
		if i := slices.IndexFunc(list.groups, func(g group) bool { return g.prefix == entry }); i >= 0 {
			numbers = list.groups[i].numbers()
		}
		if len(problems) > 0 || len(numbers) == 0 {
			return deviations{}, fmt.Errorf("complete: %q names no lines %s", entry, strings.Join(problems, ", "))
		}
		for _, n := range numbers {
			notes.complete[n] = true
		}
	}
	for _, n := range slices.Sorted(maps.Keys(file.Different)) {
		if x := file.Different[n]; !list.known[n] {
			return deviations{}, fmt.Errorf("different: %s is not in %s", n, checklistFile)
		} else if x.Why == "" || x.Instead == "" || x.Test == "" {
			return deviations{}, fmt.Errorf("different: %s lacks why, instead or test", n)
		}
	}
	return notes, nil
}
