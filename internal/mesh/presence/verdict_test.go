package presence

import (
	"fmt"
	"strings"
	"testing"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
)

// trial drives a roster by hand. Times are milliseconds since its start.
type trial struct {
	r     *roster
	start time.Time
	peer  mesh.Address
}

func newTrial() *trial {
	return &trial{
		r:     newRoster(Config{}.withDefaults()),
		start: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
		peer:  mesh.Address{Kind: mesh.KindApp, App: "chat", Instance: mesh.NewInstanceID()},
	}
}

func (tr *trial) beat(sequence uint64, change func(*siomeshv1.Presence)) *heartbeat {
	info := &siomeshv1.Presence{Instance: tr.peer.Instance.String(), Kind: "app", Name: "chat", Sequence: sequence}
	if change != nil {
		change(info)
	}
	return &heartbeat{from: tr.peer, info: info}
}

// do carries out one step, written as a verb and a number, and returns what came of it.
func (tr *trial) do(at int, step string) string {
	now := tr.start.Add(time.Duration(at) * time.Millisecond)
	verb, number := step, 0
	if i := strings.IndexByte(step, ' '); i > 0 {
		verb = step[:i]
		if _, err := fmt.Sscan(step[i:], &number); err != nil {
			return err.Error()
		}
	}
	var news []happening
	switch verb {
	case "beat":
		news = tr.r.heartbeat(now, tr.beat(uint64(number), nil))
	case "load":
		news = tr.r.heartbeat(now, tr.beat(uint64(number), func(p *siomeshv1.Presence) { p.Load = uint64(number) }))
	case "bye":
		news = tr.r.heartbeat(now, tr.beat(uint64(number), func(p *siomeshv1.Presence) { p.Goodbye = true }))
	case "suspect":
		news = tr.r.suspect(now, tr.peer.Instance)
	case "probe": // sent that many milliseconds ago
		tr.r.probed(now, tr.r.clock.at(now)-time.Duration(number)*time.Millisecond)
	case "late": // Run's goroutine runs again, so late
		tr.r.woke(now, time.Duration(number)*time.Millisecond)
	case "connected", "disconnected":
		tr.r.connection(now, verb == "connected")
	case "judge":
		var todo agenda
		news, todo = tr.r.judge(now)
		if todo.probe {
			return "probe"
		}
	case "deaf":
		return fmt.Sprint(tr.r.deaf(now))
	case "healthy":
		return fmt.Sprint(tr.r.healthy(now))
	case "fresh":
		return fmt.Sprint(tr.r.fresh(now, tr.peer.Instance))
	default:
		return "no such step"
	}
	var out []string
	for _, n := range news {
		out = append(out, strings.TrimSpace(n.change.String()+" "+string(n.cause)))
	}
	return strings.Join(out, ", ")
}

type step struct {
	at   int
	do   string
	want string
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"a silent peer is dead after 1.5 s, once the own probe came back", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{500, "beat 2", ""},
			{1900, "probe 0", ""},
			{1999, "judge", ""},
			{2000, "judge", "probe"},
			{2001, "probe 1", ""},
			{2002, "judge", ""}, // heartbeats that came with the probe may still be queued
			{2051, "judge", "died silence"},
			{2052, "judge", ""},
		}},
		{"no verdict without a probe, however long", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{100, "probe 0", ""}, // sent after the silence began, but heard before the verdict was due
			{1500, "judge", "probe"},
			{60000, "judge", "probe"},
			{60001, "beat 2", ""},
			{60002, "judge", ""},
		}},
		{"a heartbeat between the probe and the verdict saves", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{1500, "judge", "probe"},
			{1501, "probe 1", ""},
			{1520, "beat 2", ""},
			{1600, "judge", ""},
			{3019, "judge", ""},
			{3020, "judge", "probe"},
		}},
		{"a suspect is dead after 700 ms more of silence", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{100, "suspect", "suspected"},
			{300, "suspect", ""}, // the first report counts
			{799, "judge", ""},
			{800, "judge", "probe"},
			{801, "probe 1", ""},
			{900, "judge", "died suspect"},
		}},
		{"suspicion never lengthens a life", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{1400, "suspect", "suspected"},
			{1500, "judge", "probe"},
			{1500, "probe 0", ""},
			{1550, "judge", "died silence"},
		}},
		{"a suspect recovers", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{100, "suspect", "suspected"},
			{200, "beat 1", ""}, // not news
			{300, "load 2", "recovered, updated"},
			{1000, "judge", ""},
			{1100, "suspect", "suspected"},
			{1100, "beat 3", "recovered, updated"},
		}},
		{"a goodbye is final", []step{
			{0, "connected", ""},
			{0, "beat 3", "up"},
			{1, "bye 2", ""}, // older than what is known
			{2, "bye 4", "died goodbye"},
			{3, "beat 5", ""},
			{4, "bye 6", ""},
			{5, "suspect", ""},
			{5000, "judge", ""},
		}},
		{"a goodbye may be the first word", []step{
			{0, "connected", ""},
			{0, "bye 4", ""},
			{1, "beat 3", ""},
			{2, "beat 5", ""},
		}},
		{"who was only silent may come back", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{500, "beat 7", ""},
			{2000, "judge", "probe"},
			{2000, "probe 0", ""},
			{2050, "judge", "died silence"},
			{2100, "beat 6", ""}, // delayed, from before its death
			{2200, "beat 7", ""},
			{2300, "beat 8", "up"},
			{2400, "bye 9", "died goodbye"},
			{2500, "beat 10", ""},
		}},
		{"who was only silent may say goodbye", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{1500, "judge", "probe"},
			{1500, "probe 0", ""},
			{1550, "judge", "died silence"},
			{1600, "bye 2", ""},
			{1700, "beat 3", ""},
		}},
		{"old sequence numbers and repeats are ignored", []step{
			{0, "connected", ""},
			{0, "beat 5", "up"},
			{1000, "load 4", ""},
			{1000, "load 5", ""},
			{1500, "judge", "probe"},
			{1500, "load 6", "updated"},
			{1501, "judge", ""},
		}},
		{"clocks stand still while disconnected", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{600, "disconnected", ""},
			{60000, "judge", ""},
			{60000, "deaf", "false"},
			{60000, "connected", ""},
			{60001, "judge", ""},
			{60899, "judge", ""},
			{60900, "judge", "probe"},
			{60901, "probe 0", ""},
			{60960, "judge", "died silence"},
		}},
		{"after a reconnect everybody has 700 ms", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{1490, "disconnected", ""},
			{1500, "connected", ""},
			{2199, "judge", ""},
			{2200, "judge", "probe"},
		}},
		{"suspects too", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{10, "suspect", "suspected"},
			{690, "disconnected", ""},
			{700, "connected", ""},
			{1399, "judge", ""},
			{1400, "judge", "probe"},
		}},
		{"after a stall of the own process everybody has 700 ms", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{3000, "late 2500", ""},
			{3001, "probe 0", ""},
			{3690, "judge", ""},
			{3700, "judge", "probe"},
			{3701, "probe 0", ""},
			{3800, "judge", "died silence"},
		}},
		{"a little lateness changes nothing", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{1500, "late 250", ""},
			{1500, "judge", "probe"},
		}},
		{"after a slow probe everybody has 700 ms", []step{
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{1500, "judge", "probe"},
			{2100, "probe 600", ""},
			{2160, "judge", ""},
			{2799, "judge", ""},
			{2800, "judge", "probe"},
		}},
		{"deaf is who hears no probe for 1.5 s of connection", []step{
			{0, "connected", ""},
			{1000, "probe 0", ""},
			{2499, "deaf", "false"},
			{2500, "deaf", "true"},
			{2500, "disconnected", ""},
			{2600, "deaf", "false"},
			{2600, "connected", ""},
			{4099, "deaf", "false"},
			{4100, "deaf", "true"},
		}},
		{"healthy is who heard its probe lately, connected or not", []step{
			{0, "healthy", "false"},
			{0, "connected", ""},
			{10, "healthy", "false"},
			{10, "probe 1", ""},
			{1509, "healthy", "true"},
			{1510, "healthy", "false"},
			{1600, "probe 0", ""},
			{1700, "disconnected", ""},
			{1800, "healthy", "true"},
			{3200, "healthy", "false"},
		}},
		{"fresh is who is heard on a connection that hears itself", []step{
			{0, "fresh", "false"},
			{0, "connected", ""},
			{0, "beat 1", "up"},
			{0, "fresh", "false"},
			{1, "probe 0", ""},
			{1000, "fresh", "true"},
			{1001, "fresh", "false"},
			{1100, "beat 2", ""},
			{1100, "fresh", "true"},
			{1501, "fresh", "true"},
			{1502, "fresh", "false"}, // the probe is too old
			{1502, "probe 0", ""},
			{1503, "fresh", "true"},
			{1504, "suspect", "suspected"},
			{1504, "fresh", "false"},
			{1505, "beat 3", "recovered"},
			{1506, "fresh", "true"},
			{1507, "disconnected", ""},
			{1507, "fresh", "false"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial()
			for _, s := range tt.steps {
				if got := tr.do(s.at, s.do); got != s.want {
					t.Errorf("%d ms: %s: got %q, want %q", s.at, s.do, got, s.want)
				}
			}
		})
	}
}

// TestIdentityStays: an instance cannot become somebody else.
func TestIdentityStays(t *testing.T) {
	tr := newTrial()
	tr.do(0, "connected")
	tr.do(0, "beat 1")
	other := tr.beat(2, nil)
	other.from.App = "other"
	if news := tr.r.heartbeat(tr.start, other); len(news) != 0 {
		t.Errorf("news = %v, want none", news)
	}
	if got := tr.r.peers[tr.peer.Instance].sequence; got != 1 {
		t.Errorf("sequence = %d, want 1", got)
	}
}

// TestJudgeSaysWhen: whoever drives the roster must not miss a verdict.
func TestJudgeSaysWhen(t *testing.T) {
	tr := newTrial()
	tr.do(0, "connected")
	next := func(at int) time.Duration {
		t.Helper()
		_, todo := tr.r.judge(tr.start.Add(time.Duration(at) * time.Millisecond))
		return todo.next
	}
	if got := next(0); got != never {
		t.Errorf("nobody there: next = %v, want %v", got, never)
	}
	tr.do(0, "beat 1")
	if got, want := next(200), 1300*time.Millisecond; got != want {
		t.Errorf("silent: next = %v, want %v", got, want)
	}
	tr.do(300, "suspect")
	if got, want := next(300), 700*time.Millisecond; got != want {
		t.Errorf("suspect: next = %v, want %v", got, want)
	}
	next(1000)
	tr.do(1010, "probe 0")
	if got, want := next(1020), 40*time.Millisecond; got != want {
		t.Errorf("probe heard: next = %v, want %v", got, want)
	}
	tr.do(1020, "disconnected")
	if got := next(1100); got != never {
		t.Errorf("disconnected: next = %v, want %v", got, never)
	}
}

func TestGraveyardForgetsTheOldest(t *testing.T) {
	g := graveyard{ends: map[mesh.InstanceID]ending{}}
	var ids []mesh.InstanceID
	for range graves + 2 {
		id := mesh.NewInstanceID()
		ids = append(ids, id)
		g.bury(id, ending{sequence: 5})
	}
	for i, want := range map[int]bool{0: false, 1: false, 2: true, graves + 1: true} {
		if got := g.ignores(ids[i], 5); got != want {
			t.Errorf("grave %d: ignored = %t, want %t", i, got, want)
		}
	}
	if g.ignores(ids[2], 6) {
		t.Error("a later heartbeat is ignored, want it to count")
	}
	if len(g.order) != len(g.ends) {
		t.Errorf("%d in order, %d in all, want the same", len(g.order), len(g.ends))
	}
}
