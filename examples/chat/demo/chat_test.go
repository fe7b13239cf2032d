package demo

import (
	"strings"
	"testing"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Ada": "Ada", "  Ada L. \t": "Ada L.", "Ådá 漢字": "Ådá 漢字", strings.Repeat("é", 24): strings.Repeat("é", 24),
		"": "", " \n ": "", strings.Repeat("é", 25): "", "a\x00b": "", "a\nb": "", "a\u0085b": "", "a\xff": "",
	} {
		got, ok := clean(in, longestName)
		if ok != (want != "") || ok && got != want {
			t.Errorf("clean(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
}

func TestFits(t *testing.T) {
	for in, want := range map[string]bool{
		"hello": true, "two\nlines": true, strings.Repeat("é", longestText): true,
		"": false, " \n": false, strings.Repeat("é", longestText+1): false,
	} {
		if got := fits(in); got != want {
			t.Errorf("fits(%.20q) = %v, want %v", in, got, want)
		}
	}
}
