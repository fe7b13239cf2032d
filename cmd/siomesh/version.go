package main

import (
	"fmt"
	"runtime/debug"
)

type versionCommand struct{}

// Run prints the version of the module and of Go.
func (versionCommand) Run(out output) error {
	version, goVersion := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
	}
	_, err := fmt.Fprintf(out.stdout, "siomesh %s (%s)\n", version, goVersion)
	return err //nolint:wrapcheck // nothing to add
}
