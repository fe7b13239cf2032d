package main

import (
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// helpOptions let --help say of each flag what it takes, in capitals behind the name, and in brackets its default and its
// variable.
func helpOptions() []kong.Option {
	return []kong.Option{
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ValueFormatter(withDefault),
		kong.PostBuild(func(k *kong.Kong) error {
			for _, f := range flagsOf(k.Model.Node) {
				namePlace(f)
			}
			return nil
		}),
	}
}

// withDefault returns the help of a flag, as kong.DefaultHelpValueFormatter, with its default in front of its variable.
func withDefault(v *kong.Value) string {
	if v.Flag == nil || v.Default == "" {
		return kong.DefaultHelpValueFormatter(v)
	}
	notes := "default " + v.Default
	for _, name := range v.Flag.Envs {
		notes += ", $" + name
	}
	text, full := strings.CutSuffix(v.Help, ".")
	text += " (" + notes + ")"
	if full {
		text += "."
	}
	return text
}

// namePlace names what a flag takes, where kong would show the default instead: by its type, or by its own last word.
func namePlace(f *kong.Flag) {
	switch {
	case f.PlaceHolder != "" || f.IsBool():
	case f.Target.Type() == reflect.TypeFor[time.Duration]():
		f.PlaceHolder = "TIME"
	default:
		f.PlaceHolder = strings.ToUpper(f.Name[strings.LastIndexByte(f.Name, '-')+1:])
	}
}
