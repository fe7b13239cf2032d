package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// yamlSettings reads the file of --config: YAML whose keys are flag names. kong reads JSON, so the settings become that; and
// it asks the file before the environment, so a flag whose variable is set is left to that.
func yamlSettings(r io.Reader) (kong.Resolver, error) {
	settings := map[string]any{}
	if err := yaml.NewDecoder(r).Decode(&settings); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	file, err := kong.JSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	return kong.ResolverFunc(func(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if _, set := os.LookupEnv(name); set {
				return nil, nil //nolint:nilnil // kong's way to say: not here
			}
		}
		return file.Resolve(ctx, parent, flag) //nolint:wrapcheck // kong says which flag
	}), nil
}
