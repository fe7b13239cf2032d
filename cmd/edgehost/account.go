package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// account is what this process costs at one moment.
type account struct {
	AnonymousKB int64 `json:"anonymous_kb,omitempty"` // memory that is no file's; only after a collection
	HeapKB      int64 `json:"heap_kb"`                // live and dead objects
	StackKB     int64 `json:"stack_kb"`               // of goroutines
	Goroutines  int64 `json:"goroutines"`
	Descriptors int64 `json:"descriptors"`
	CPUMicros   int64 `json:"cpu_us"` // user and system time so far
}

// accounts answers GET /account with what the process costs, POST /account after it has collected its garbage and given free
// memory back, and all else with next.
func accounts(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /account", func(w http.ResponseWriter, _ *http.Request) { answer(w, false) })
	mux.HandleFunc("POST /account", func(w http.ResponseWriter, _ *http.Request) { answer(w, true) })
	mux.Handle("/", next)
	return mux
}

func answer(w http.ResponseWriter, collect bool) {
	a, err := takeAccount(collect)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // the one who asked may be gone
}

func takeAccount(collect bool) (account, error) {
	var a account
	if collect {
		for range 3 { // pools are emptied by the second collection, and what the first two needed is free for the third
			runtime.GC()
			debug.FreeOSMemory()
		}
		var err error
		if a.AnonymousKB, err = anonymous(); err != nil {
			return a, err
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	a.HeapKB, a.StackKB = int64(m.HeapAlloc>>10), int64(m.StackInuse>>10) //nolint:gosec // far below 2^63
	a.Goroutines = int64(runtime.NumGoroutine())
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return a, fmt.Errorf("count descriptors: %w", err)
	}
	a.Descriptors = int64(len(descriptors)) - 1 // without that of the directory
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return a, fmt.Errorf("read the CPU time: %w", err)
	}
	a.CPUMicros = time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Microseconds()
	return a, nil
}

// anonymous returns the process's anonymous memory in KiB.
func anonymous() (int64, error) {
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0, fmt.Errorf("read the memory: %w", err)
	}
	for line := range strings.Lines(string(rollup)) {
		if rest, ok := strings.CutPrefix(line, "Anonymous:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the memory: %w", err)
			}
			return kb, nil
		}
	}
	return 0, fmt.Errorf("no anonymous memory in smaps_rollup of %d bytes", len(rollup))
}
