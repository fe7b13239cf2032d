package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// yamlSettings reads the file of --config: YAML whose keys are flag names. kong reads JSON, of which YAML is a superset.
func yamlSettings(r io.Reader) (kong.Resolver, error) {
	settings := map[string]any{}
	if err := yaml.NewDecoder(r).Decode(&settings); err != nil && err != io.EOF { //nolint:errorlint // yaml returns io.EOF itself
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	return kong.JSON(bytes.NewReader(text)) //nolint:wrapcheck // cannot fail on what was just encoded
}
