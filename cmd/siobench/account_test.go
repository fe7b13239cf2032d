package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// startAccount serves /account; each answer costs more CPU time, and each after the first collection has leak KiB more.
func startAccount(t *testing.T, leak int64) (url string, collections *atomic.Int64) {
	t.Helper()
	collections = &atomic.Int64{}
	var asked atomic.Int64
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/account" {
			http.NotFound(w, r)
			return
		}
		a := account{Goroutines: 20, Descriptors: 10, CPUMicros: 1000 * asked.Add(1)}
		if r.Method == http.MethodPost {
			a.AnonymousKB = 1000 + leak*(collections.Add(1)-1)
		}
		if err := json.NewEncoder(w).Encode(a); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(hs.Close)
	return hs.URL, collections
}

func TestIdle(t *testing.T) {
	for _, mode := range []string{"", "--polling"} {
		s, url := startFake(t, faults{})
		internal, _ := startAccount(t, 300)
		o := benchIdle(t, url, "idle", "--conns", "30", "--hold", "0.2", "--internal", internal, mode)
		o.mustSucceed(t)
		if s.opened != 60 { // 30 to warm up
			t.Errorf("%d connections opened, want 60", s.opened)
		}
		if got := o.num(t, "bytes_per_conn"); got != 10240 {
			t.Errorf("300 KiB for 30 connections are %v bytes for one", got)
		}
		if o.num(t, "cpu_us_per_s_per_conn") < -1000 || o.num(t, "held_cpu_us_per_s") <= 0 {
			t.Errorf("%v", o.Results)
		}
	}
}

func TestWaves(t *testing.T) {
	s, url := startFake(t, faults{})
	internal, collections := startAccount(t, 1)
	o := benchIdle(t, url, "waves", "--conns", "5", "--warm-up-waves", "1", "--waves", "2", "--internal", internal)
	o.mustSucceed(t)
	if s.opened != 15 || collections.Load() != 3 {
		t.Errorf("%d connections, %d collections, want 15 and 3", s.opened, collections.Load())
	}
	if got := o.num(t, "worst_percent_off"); got != 0.2 {
		t.Errorf("worst is %v %%, want 0.2", got)
	}
	internal, _ = startAccount(t, 15)
	benchIdle(t, url, "waves", "--conns", "5", "--warm-up-waves", "1", "--waves", "2", "--internal", internal).mustFail(t, "wave_2_anonymous_kb is 1030, 3.0 % off")
}

func TestAccountMissing(t *testing.T) {
	_, url := startFake(t, faults{})
	benchIdle(t, url, "idle", "--conns", "1").mustFail(t, "--internal is needed")
	benchIdle(t, url, "waves", "--conns", "1", "--internal", url+"/nowhere").mustFail(t, "account")
}

// benchIdle is bench for the scenarios without a load.
func benchIdle(t *testing.T, url string, args ...string) outcome {
	t.Helper()
	args = append(args, "--url", url, "--json", "--settle", "100ms")
	args = append(args[:1:1], strings.Fields(strings.Join(args[1:], " "))...)
	var stdout, stderr strings.Builder
	var o outcome
	o.status = run(args, &stdout, &stderr)
	if err := json.Unmarshal([]byte(stdout.String()), &o); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout.String(), stderr.String())
	}
	return o
}
