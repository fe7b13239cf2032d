package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFindCitations(t *testing.T) {
	list, err := readChecklist("testdata/module")
	if err != nil {
		t.Fatal(err)
	}
	found, err := findCitations("testdata/module", list)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range list.numbers() {
		for _, x := range found.of(n) {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %v %s", n, x.test, x.direct, x.note)))
		}
	}
	want := []string{
		"ABC-001 e2e.TestEndToEnd true talk/listens",
		"ABC-001 pkg/a.TestDirect true",
		"ABC-002 pkg/a.TestTable false",
		"ABC-003 pkg/a.TestTable false",
		"ABC-004 pkg/a.FuzzOutside false",
		"ABC-004 pkg/a.TestTable false",
		"ABC-005 pkg/a true",
		"ABC-006 e2e.TestEndToEnd true talk/listens",
		"ABC-006 e2e.TestEndToEnd true talk/speaks",
		"ABC-007 pkg/a.TestDirect true",
		"D2-001 pkg/a.TestTable false",
		"EF-001 pkg/a.FuzzOutside true",
		"EF-002 pkg/a.TestSkips true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(found.problems) > 0 {
		t.Errorf("problems: %q", found.problems)
	}
	if got, want := fmt.Sprint(found.directories()), "[e2e pkg/a]"; got != want {
		t.Errorf("packages: got %s, want %s", got, want)
	}
}

// TestCitationsThatLeadNowhere: each is told with its place, and none is dropped.
func TestCitationsThatLeadNowhere(t *testing.T) {
	root := write(t, t.TempDir(), map[string]string{
		"a/a_test.go": `package a

import "testing"

// A-001 between declarations.

func unused() {} // A-002

// BenchmarkX cites A-001, and is not run.
func BenchmarkX(*testing.B) {}

func TestX(t *testing.T) {
	t.Log("A-009")
}
`,
		"a/testdata/b_test.go":     "no Go: A-009",
		"node_modules/a/b_test.go": "no Go: A-009",
		".hidden/b_test.go":        "no Go: A-009",
		"e2e/scenarios/s.mjs":      "export const s = 1;\n}\n// A-001, A-009\n",
	})
	found, err := findCitations(root, listOf(t, "A-001 A-002"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a/a_test.go:5: A-001 is cited where no test function leads",
		"a/a_test.go:7: A-002 is cited where no test function leads",
		"a/a_test.go:9: A-001 is cited where no test function leads",
		"a/a_test.go:13: A-009 is not in docs/checklist.md",
		"e2e/scenarios/s.mjs:3: A-009 is not in docs/checklist.md",
		"e2e/scenarios/s.mjs: A-001 stands behind the last scenario",
	}
	if !slices.Equal(found.problems, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(found.problems, "\n"), strings.Join(want, "\n"))
	}
}

func TestFindCitationsNeedsGo(t *testing.T) {
	root := write(t, t.TempDir(), map[string]string{"a/a_test.go": "no Go: A-001"})
	if _, err := findCitations(root, listOf(t, "A-001")); err == nil || !strings.Contains(err.Error(), "a_test.go") {
		t.Errorf("got %v, want an error about a_test.go", err)
	}
}

func TestIsTest(t *testing.T) {
	for name, want := range map[string]bool{
		"TestX": true, "Test": true, "Test_x": true, "TestÉ": true, "FuzzX": true, "ExampleX": true, "TestMain": true,
		"Testing": false, "testX": false, "BenchmarkX": false, "Testé": false,
	} {
		if got := isTest(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// TestManyTests: a line names the first few tests, those that cite it themselves before those that are led to it.
func TestManyTests(t *testing.T) {
	found := &catalogue{}
	found.add("A-001", false, test{"a", "TestA"})
	found.add("A-001", true, test{"b", "TestZ"}, test{"b", "TestY"}, test{"b", "TestX"}, test{"a", ""})
	v := judge(listOf(t, "A-001"), deviations{}, found, results{
		{"a", ""}: passed, {"a", "TestA"}: passed, {"b", "TestX"}: passed, {"b", "TestY"}: passed, {"b", "TestZ"}: passed,
	})
	if got, want := v.say("A-001"), "covered by all of `a`, `b.TestX`, `b.TestY`, and others"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// write makes the files below root, which it returns.
func write(tb testing.TB, root string, files map[string]string) string {
	tb.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}
