package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestChecklist(t *testing.T) {
	list, err := readChecklist("testdata/module")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(list.prefixes()), "[ABC D2 EF]"; got != want {
		t.Errorf("groups: got %s, want %s", got, want)
	}
	if got := list.groups[1].title; got != "First things" {
		t.Errorf("heading of the second group: got %q", got)
	}
	if got, want := list.groups[0].lines[0], (line{"ABC-001", "Text `a|b` with [brackets] inside."}); got != want {
		t.Errorf("first line: got %q, want %q", got, want)
	}
	if n := len(list.numbers()); n != 11 || len(list.known) != n {
		t.Errorf("got %d lines, %d known; want 11", n, len(list.known))
	}
}

func TestChecklistRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "no numbered lines",
		"- no number":                     "no number",
		"- ABC-01 short":                  "no number",
		"- ABC-002 b\n- ABC-001 a":        "ABC-001 follows ABC-002",
		"- ABC-001 a\n- ABC-001 a":        "ABC-001 follows ABC-001",
		"- A-001 a\n- B-001 b\n- A-002":   "no number",
		"- A-001 a\n- B-001 b\n- A-002 a": "A-002 stands apart",
	} {
		if _, err := parseChecklist([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// listOf is a checklist of the numbers that text has one per word.
func listOf(tb testing.TB, text string) checklist {
	tb.Helper()
	list, err := parseChecklist([]byte("- " + strings.Join(strings.Fields(text), " x\n- ") + " x"))
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

func TestCitations(t *testing.T) {
	cite := newCitations(listOf(t, "A-001 A-002 A-003 A-005 AB-001 D4-001 D4-002"))
	for text, want := range map[string]string{
		"none, A-1, XA-001, A-0011, a-001":   "[] []",
		"A-001":                              "[A-001] []",
		"(A-001; D4-002) AB-001.":            "[A-001 D4-002 AB-001] []",
		"A-001, A-003":                       "[A-001 A-003] []",
		"A-001, -003, -002":                  "[A-001 A-003 A-002] []",
		"A-001..003":                         "[A-001 A-002 A-003] []",
		"A-001..A-003 D4-001…002":            "[A-001 A-002 A-003 D4-001 D4-002] []",
		"A-001 to A-003, and D4-001 to 002":  "[A-001 A-002 A-003 D4-001 D4-002] []",
		"A-001 together 002, A-001 to three": "[A-001 A-001] []",
		"A-001..002, -005":                   "[A-001 A-002 A-005] []",
		"A-004":                              "[] [A-004 is not in docs/checklist.md]",
		"A-003..005":                         "[A-003] [A-004 is not in docs/checklist.md]",
		"A-003..001":                         "[A-003] [A-003..001 is not a range]",
		"A-001..AB-001":                      "[A-001] [A-001..AB-001 is not a range]",
		"A-001, -009":                        "[A-001] [A-009 is not in docs/checklist.md]",
	} {
		found, problems := cite.in(text)
		if got := fmt.Sprint(found, problems); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
