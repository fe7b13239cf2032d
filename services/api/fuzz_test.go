package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// FuzzRequest reads whatever may come as a request of each verb: it is either understood or refused as the asker's mistake, and
// arguments that are understood say the same when they are written again.
func FuzzRequest(f *testing.F) {
	for _, request := range []string{
		`{"namespace":"/a","rooms":["*",""],"ids":["x"],"users":["u"],"except":["b"],"except_users":["v"],"timeout":5}`,
		`{"event":"e","args":[1,"a",null,true,{"a":[]},{"$binary":"AQID"},[{"b":{"$binary":""}}]],"volatile":true,"compress":false,"ack":true}`,
		`{"event":"🙂 .","args":[{"\u0024binary":"AQ=="},"\ud800",1e400,{"_placeholder":true,"num":0}]}`,
		`{"join":["a"],"rooms":[]}`, `{"leave":["a"]}`, `{"close":true}`, `{"limit":1,"fields":["rooms"]}`, "", "null", "[", `{"a":{}}{}`,
	} {
		f.Add([]byte(request))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var (
			emit  emitRequest
			fetch fetchRequest
			wrong *invalidError
		)
		if err := decode(data, &fetch); err != nil && !errors.As(err, &wrong) {
			t.Fatalf("fetch: %v is not the asker's mistake", err)
		}
		if err := fetch.check(); err != nil && !errors.As(err, &wrong) {
			t.Fatalf("fetch: %v is not the asker's mistake", err)
		}
		if err := decode(data, &emit); err != nil {
			if !errors.As(err, &wrong) {
				t.Fatalf("emit: %v is not the asker's mistake", err)
			}
			return
		}
		args, err := parseArgs(emit.Args)
		if err != nil {
			if !errors.As(err, &wrong) {
				t.Fatalf("args: %v is not the asker's mistake", err)
			}
			return
		}
		for i := range args.Len() {
			wantSame(t, args, i)
		}
	})
}

// wantSame writes an argument as it would come back from a client, and reads that.
func wantSame(t *testing.T, args socketio.Args, i int) {
	t.Helper()
	one, err := socketio.ParseArgs(append(append([]byte("["), args.Raw(i)...), ']'), args.Attachments())
	if err != nil {
		t.Fatalf("argument %s: %v", args.Raw(i), err)
	}
	text := withBinary(one)
	if !json.Valid(text) {
		t.Fatalf("argument %s becomes %s", args.Raw(i), text)
	}
	again, err := parseArgs(append(append([]byte("["), text...), ']'))
	if err != nil {
		t.Fatalf("argument %s becomes %s: %v", args.Raw(i), text, err)
	}
	if got := withBinary(again); len(one.Attachments()) > 0 && !bytes.Equal(got, text) {
		t.Fatalf("argument %s becomes %s, then %s", args.Raw(i), text, got)
	}
}
