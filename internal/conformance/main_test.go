package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// green is what `go test -json` says about testdata/module, shortened.
const green = `{"Action":"start","Package":"example.org/m/pkg/a"}
{"Action":"run","Package":"example.org/m/pkg/a","Test":"TestDirect"}
{"Action":"output","Package":"example.org/m/pkg/a","Test":"TestDirect","Output":"=== RUN\n"}
{"Action":"pass","Package":"example.org/m/pkg/a","Test":"TestDirect","Elapsed":0}
{"Action":"pass","Package":"example.org/m/pkg/a","Test":"TestTable/first","Elapsed":0}
{"Action":"pass","Package":"example.org/m/pkg/a","Test":"TestTable","Elapsed":0}
{"Action":"pass","Package":"example.org/m/pkg/a","Test":"FuzzOutside","Elapsed":0}
{"Action":"skip","Package":"example.org/m/pkg/a","Test":"TestSkips","Elapsed":0}
{"Action":"pass","Package":"example.org/m/pkg/a","Elapsed":0}
`

// greenEndToEnd is the same about e2e.
const greenEndToEnd = `{"Action":"pass","Package":"example.org/m/e2e","Test":"TestEndToEnd","Elapsed":0}
{"Action":"pass","Package":"example.org/m/e2e","Elapsed":0}
`

// module copies testdata/module.
func module(tb testing.TB) string {
	tb.Helper()
	root := tb.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/module")); err != nil {
		tb.Fatal(err)
	}
	return root
}

// run runs the command on a module with these results.
func run(root, results string, args ...string) (string, error) {
	var out bytes.Buffer
	err := command(append([]string{"-root", root}, args...), strings.NewReader(results), &out)
	return out.String(), err
}

func document(tb testing.TB, root string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(root, documentFile))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func TestGenerate(t *testing.T) {
	root := module(t)
	if _, err := run(root, green, "-check"); err == nil || !strings.Contains(err.Error(), "+ | ABC-001 |") {
		t.Errorf("before: got %v, want the lines that are missing", err)
	}
	out, err := run(root, green)
	if want := "lines: 11, covered: 7, end to end: 1, different on purpose: 1, not yet: 2\n"; err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
	golden, err := os.ReadFile("testdata/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	if got := document(t, root); got != string(golden) {
		t.Errorf("the document is not testdata/conformance.md:\n%s", got)
	}
	for name, results := range map[string]string{"as before": green, "with e2e": greenEndToEnd + green} {
		if _, err := run(root, results, "-check"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestResultsFromFiles(t *testing.T) {
	root := module(t)
	dir := write(t, t.TempDir(), map[string]string{"unit.json": green, "e2e.json": greenEndToEnd, "bad.json": "FAIL"})
	if _, err := run(root, "", filepath.Join(dir, "unit.json"), filepath.Join(dir, "e2e.json")); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"bad.json": "bad.json: read the output of go test", "none.json": "none.json"} {
		if _, err := run(root, "", filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// TestProblems: whatever makes a line doubtful fails, is named, and leaves the document alone.
func TestProblems(t *testing.T) {
	event := func(action, name string) string {
		return fmt.Sprintf(`{"Action":%q,"Package":"example.org/m/pkg/a","Test":%q}`, action, name)
	}
	for name, c := range map[string]struct {
		results string
		want    []string
	}{
		"nothing ran": {"", []string{
			"pkg/a is cited for lines of the checklist, but did not run", "pkg/a.TestDirect is cited", "ABC-002 has no passing test",
			"ABC-007 is different on purpose, but pkg/a.TestDirect does not cite it and pass", "D2-001 has no passing test",
		}},
		"one failed": {green + event("fail", "TestTable"), []string{
			"pkg/a.TestTable failed", "ABC-002 has no passing test", "ABC-003 has no passing test", "ABC-004 has no passing test",
		}},
		"one ran twice": {event("fail", "TestTable") + green, []string{"pkg/a.TestTable failed"}},
		"a part skipped": {green + event("skip", "TestTable/first"), []string{
			"ABC-002 has no passing test", "ABC-003 has no passing test", "D2-001 has no passing test",
		}},
		"it did not build": {`{"Action":"fail","Package":"example.org/m/pkg/a"}`, []string{"pkg/a failed as a package"}},
		"e2e failed": {
			green + strings.ReplaceAll(greenEndToEnd, "pass", "fail"),
			[]string{"e2e.TestEndToEnd failed", "ABC-001 has no passing test"},
		},
		"e2e ran without it": {
			green + `{"Action":"pass","Package":"example.org/m/e2e"}`,
			[]string{"e2e.TestEndToEnd is cited for lines of the checklist, but did not run"},
		},
		"no citation": {strings.ReplaceAll(green, "example.org/m/", "example.org/other/"), []string{"pkg/a.TestTable is cited"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := module(t)
			before := document(t, root)
			_, err := run(root, c.results)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), "  "+want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if document(t, root) != before {
				t.Error("the document was written")
			}
		})
	}
}

// TestCompleteEndToEnd: a line that must be held may be held end to end, and is until that ran and did not pass.
func TestCompleteEndToEnd(t *testing.T) {
	for name, c := range map[string]struct {
		line    number
		results string
		held    bool
	}{
		"without e2e":        {"ABC-006", green, true},
		"with e2e":           {"ABC-006", green + greenEndToEnd, true},
		"e2e failed":         {"ABC-006", green + strings.ReplaceAll(greenEndToEnd, "pass", "fail"), false},
		"e2e skipped a part": {"ABC-006", green + strings.ReplaceAll(greenEndToEnd, "pass", "skip"), false},
		"cited nowhere":      {"ABC-008", green + greenEndToEnd, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := module(t)
			write(t, root, map[string]string{deviationsFile: fmt.Sprintf("complete: [%s]", c.line)})
			_, err := run(root, c.results)
			missing := err != nil && strings.Contains(err.Error(), string(c.line)+" has no passing test")
			if missing == c.held || c.held && err != nil {
				t.Errorf("got %v, want it held: %v", err, c.held)
			}
		})
	}
}

func TestPackages(t *testing.T) {
	if out, err := run("testdata/module", "", "-packages"); err != nil || out != "./pkg/a\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestFilesRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"unknown key":       {deviationsFile, "other: []", "other"},
		"unknown group":     {deviationsFile, "complete: [XYZ]", `"XYZ" names no lines`},
		"unknown number":    {deviationsFile, "complete: [ABC-099]", "ABC-099 is not in"},
		"unknown deviation": {deviationsFile, "different: {XYZ-001: {why: a, instead: b, test: c}}", "XYZ-001 is not in"},
		"no reason":         {deviationsFile, "different: {ABC-001: {instead: b, test: c}}", "ABC-001 lacks"},
		"no list":           {checklistFile, "# Checklist", "no numbered lines"},
		"no begin":          {documentFile, "text", "no beginning"},
		"no end":            {documentFile, beginMark, "no end"},
		"no module":         {"go.mod", "go 1.26.0", "names no module"},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, module(t), map[string]string{c.file: c.text})
			if _, err := run(root, green); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
