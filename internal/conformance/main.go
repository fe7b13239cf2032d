// Command conformance writes the generated part of docs/conformance.md: which lines of docs/checklist.md a test holds.
//
//	go test -race -json $(go run ./internal/conformance -packages) | go run ./internal/conformance
//
// A test holds a line by citing its number, in a comment or a string (see [citations]), and by passing. The command fails if
// a citation leads nowhere, if a cited test did not pass, if a line is missing of those docs/deviations.yaml calls complete,
// or, with -check, if the file is not what it would write. It reads only; the tests are run by `make conformance`. Start
// reading at [generate].
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// apart is the directory of the end-to-end tests. They run on their own and take minutes, so their results may be absent:
// what only they cite is shown as such, and holds a line as long as no results say otherwise.
const apart = "e2e"

func main() {
	if err := command(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// command runs with the arguments, reading results of tests from the files they name, or else from stdin.
func command(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	root := flags.String("root", ".", "the `directory` of the module")
	check := flags.Bool("check", false, "fail if docs/conformance.md is not up to date; write nothing")
	packages := flags.Bool("packages", false, "print the packages whose tests cite the checklist, and do nothing else")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *packages {
		return printPackages(stdout, *root)
	}
	got, err := readResults(flags.Args(), stdin)
	if err != nil {
		return err
	}
	return generate(*root, got, *check, stdout)
}

// printPackages prints the directories of the packages that cite anything, the end-to-end tests left out.
func printPackages(w io.Writer, root string) error {
	list, err := readChecklist(root)
	if err != nil {
		return err
	}
	found, err := findCitations(root, list)
	if err != nil {
		return err
	}
	for _, dir := range found.directories() {
		if dir != apart {
			fmt.Fprintln(w, "./"+dir)
		}
	}
	return nil
}

// readResults reads what `go test -json` wrote to the files, or to stdin if there are none.
func readResults(files []string, stdin io.Reader) (results, error) {
	got := results{}
	if len(files) == 0 {
		return got, got.read(stdin)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := got.read(bytes.NewReader(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return got, nil
}

// generate brings docs/conformance.md up to date with the results, or checks that it is. It prints one line of counts.
func generate(root string, got results, check bool, stdout io.Writer) error {
	list, err := readChecklist(root)
	if err != nil {
		return err
	}
	notes, err := readDeviations(root, list)
	if err != nil {
		return err
	}
	found, err := findCitations(root, list)
	if err != nil {
		return err
	}
	module, err := moduleName(root)
	if err != nil {
		return err
	}
	v := judge(list, notes, found, got.below(module))
	if problems := append(found.problems, v.problems...); len(problems) > 0 {
		return fmt.Errorf("%d problems:\n  %s", len(problems), strings.Join(problems, "\n  "))
	}
	if err := updateDocument(root, render(list, v), check); err != nil {
		return err
	}
	fmt.Fprintln(stdout, v.count(list.numbers()))
	return nil
}

// moduleName is what go.mod below root says.
func moduleName(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	for l := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(l, "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", errors.New("go.mod names no module")
}
