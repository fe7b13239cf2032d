package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// settings is the file of --config: YAML whose keys are flag names without the dashes in front.
type settings map[string]any

// yamlSettings reads the file.
func yamlSettings(r io.Reader) (kong.Resolver, error) {
	s := settings{}
	if err := yaml.NewDecoder(r).Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	return s, nil
}

// Validate implements kong.Resolver: a key that no command knows is a mistake.
func (s settings) Validate(app *kong.Application) error {
	known := flagsOf(app.Node)
	for key := range s {
		if !slices.ContainsFunc(known, func(f *kong.Flag) bool { return f.Name == key }) {
			return fmt.Errorf("unknown setting %q", key)
		}
	}
	return nil
}

// Resolve implements kong.Resolver. kong asks the file before the environment, so a flag whose variable is set is left to
// that.
func (s settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil //nolint:nilnil // kong's way to say: not here
		}
	}
	return s[flag.Name], nil
}

// unknownVariables returns the names in environ that begin like ours and mean nothing to any command.
func unknownVariables(app *kong.Application, environ []string) []string {
	known := flagsOf(app.Node)
	var unknown []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "SIOMESH_") {
			continue
		}
		if !slices.ContainsFunc(known, func(f *kong.Flag) bool { return slices.Contains(f.Envs, name) }) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// flagsOf returns the flags of a command and of everything below it.
func flagsOf(n *kong.Node) []*kong.Flag {
	flags := slices.Clone(n.Flags)
	for _, child := range n.Children {
		flags = append(flags, flagsOf(child)...)
	}
	return flags
}
