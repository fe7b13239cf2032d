package mesh

import (
	"strings"
	"testing"
)

// FuzzNames reads whatever may come as an instance id or as the last token of a subject, and finds what was written.
func FuzzNames(f *testing.F) {
	f.Add("0123456789", "chat", "event")
	f.Add("012345678.", "a-b", "")
	f.Add("", "edge", "*.>%\x00ü")
	f.Fuzz(func(t *testing.T, id, app, event string) {
		parsed, err := ParseInstanceID(id)
		if err == nil && (parsed.String() != id || !parsed.Valid()) {
			t.Errorf("ParseInstanceID(%q) = %q", id, parsed)
		}
		to := Address{Kind: KindRooms, Instance: NewInstanceID()}
		if kind, name := FromOf(id); name != "" && kind != KindApp {
			t.Errorf("FromOf(%q) = %s, %q", id, kind, name)
		}
		if from := (Address{Kind: KindApp, App: app}); ValidAppName(app) == nil {
			if kind, name := FromOf((Subjects{}).In(to, From(from))); kind != KindApp || name != app {
				t.Errorf("FromOf(In(…, From(%q))) = %s, %q", app, kind, name)
			}
		}
		if token, err := Escape(event); err == nil && (token == "" || len(token) > MaxToken || strings.ContainsAny(token, ".*> \t\r\n")) {
			t.Errorf("Escape(%q) = %q, which is no token", event, token)
		}
	})
}
