package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestHelp: the help of each command tells the default of each flag that has one, once.
func TestHelp(t *testing.T) {
	var c cli
	parser, err := kong.New(&c, append(helpOptions(), kong.DefaultEnvars("SIOMESH"))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Children {
		t.Run(command.Name, func(t *testing.T) {
			var out bytes.Buffer
			if status := execute([]string{command.Name, "--help"}, &out, &out); status != 0 {
				t.Fatalf("status %d: %s", status, &out)
			}
			shown := strings.Join(strings.Fields(out.String()), " ") // as if no line were too long
			for _, f := range command.Flags {
				wantDefaultOnce(t, shown, f)
			}
		})
	}
}

func wantDefaultOnce(t *testing.T, shown string, f *kong.Flag) {
	t.Helper()
	want := "($" + f.Envs[0] + ")"
	if f.Default != "" {
		want = "(default " + f.Default + ", $" + f.Envs[0] + ")"
	}
	name := "--" + f.Name
	if f.IsBool() && f.Default == "true" {
		name = "--[no-]" + f.Name
	} else if !f.IsBool() {
		name += "="
	}
	_, text, found := strings.Cut(shown, " "+name)
	text, _, ended := strings.Cut(text, ", $"+f.Envs[0]+")")
	if !ended {
		text, _, ended = strings.Cut(text, "($"+f.Envs[0]+")")
	}
	if !found || !ended || !strings.Contains(shown, want) {
		t.Errorf("--%s: the help has no %s", f.Name, want)
		return
	}
	if n := strings.Count(text, "default"); f.Default != "" && n != 1 {
		t.Errorf("--%s: default %d times, want once: %s", f.Name, n, text)
	}
	place, _, _ := strings.Cut(text, " ")
	if f.Default != "" && !f.IsBool() && strings.Contains(place, f.Default) {
		t.Errorf("--%s=%s: the default, too, where the kind of value is to stand", f.Name, place)
	}
}
