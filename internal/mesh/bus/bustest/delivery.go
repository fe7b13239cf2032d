package bustest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func sendOrder(t contract) {
	const messages = 3000
	l := listen(t, t.B, bus.Data, "to.one", "to.two", "from.*.three")
	subjects := []string{"to.one", "to.two", "from.a.three", "from.b.three"}
	for i := range messages {
		check(t, "send", t.A.Send(subjects[i%len(subjects)], "", number(i)))
	}
	for i, m := range l.waitFor(t, messages) {
		if numberOf(m) != i || m.Subject != subjects[i%len(subjects)] || m.Reply != "" {
			t.Fatalf("message %d: got number %d, subject %q, reply %q", i, numberOf(m), m.Subject, m.Reply)
		}
	}
}

func publishOrder(t contract) {
	const messages = 1000
	l := listen(t, t.B, bus.Control, "news.*", "more.news.*")
	for i := range messages {
		check(t, "publish", t.A.Publish([]string{"news.x", "more.news.y"}[i%2], number(i)))
	}
	for i, m := range l.waitFor(t, messages) {
		if numberOf(m) != i {
			t.Fatalf("message %d: got number %d", i, numberOf(m))
		}
	}
}

func manySenders(t contract) {
	const senders, messages = 4, 500
	l := listen(t, t.B, bus.Data, "in.*")
	var sending sync.WaitGroup
	for sender := range senders {
		sending.Go(func() {
			b := []bus.Bus{t.A, t.B}[sender%2]
			for i := range messages {
				if err := b.Send(fmt.Sprintf("in.%d", sender), "", number(i)); err != nil {
					t.Errorf("sender %d: %v", sender, err)
				}
			}
		})
	}
	sending.Wait()
	next := map[string]int{}
	for _, m := range l.waitFor(t, senders*messages) {
		if numberOf(m) != next[m.Subject] {
			t.Fatalf("%s: got number %d, want %d", m.Subject, numberOf(m), next[m.Subject])
		}
		next[m.Subject]++
	}
}

func publishOnce(t contract) {
	listeners := []*listener{
		listen(t, t.A, bus.Control, "news"), listen(t, t.A, bus.Data, "news"),
		listen(t, t.B, bus.Control, "news"), listen(t, t.B, bus.Data, "news"),
	}
	check(t, "publish at A", t.A.Publish("news", number(1)))
	check(t, "publish at B", t.B.Publish("news", number(2)))
	for i, l := range listeners {
		got := l.waitFor(t, 2)
		if a, b := numberOf(got[0]), numberOf(got[1]); a+b != 3 {
			t.Errorf("listener %d: got numbers %d and %d, want 1 and 2", i, a, b)
		}
	}
	settle(t, t.Pair)
	for i, l := range listeners {
		check(t, "send", t.A.Send("end", "", nil))
		if n := l.count(); n != 2 {
			t.Errorf("listener %d: got %d messages, want 2", i, n)
		}
	}
}

func queueGroups(t contract) {
	const messages = 400
	var got [2][messages]atomic.Int32 // by group
	var handled atomic.Int32
	var member [3]atomic.Int32
	for i, m := range []struct {
		at    bus.Bus
		group int
	}{{t.A, 0}, {t.B, 0}, {t.B, 1}} {
		r := m.at.NewReceiver(bus.Control, 2*messages)
		check(t, "subscribe", r.Subscribe("work", fmt.Sprint("group", m.group), func(work bus.Msg) {
			got[m.group][numberOf(work)].Add(1)
			member[i].Add(1)
			handled.Add(1)
		}))
		run(t, r)
	}
	for i := range messages {
		check(t, "publish", t.A.Publish("work", number(i)))
	}
	reaches(t, "handled", 2*messages, func() int { return int(handled.Load()) })
	settle(t, t.Pair)
	for group := range got {
		for i := range got[group] {
			if n := got[group][i].Load(); n != 1 {
				t.Fatalf("group %d, message %d: delivered %d times", group, i, n)
			}
		}
	}
	if t.A == t.B && (member[0].Load() == 0 || member[1].Load() == 0) {
		t.Errorf("members of one group got %d and %d of %d: no sharing", member[0].Load(), member[1].Load(), messages)
	}
}

func wildcards(t contract) {
	for pattern, subjects := range map[string]struct{ in, out []string }{
		"w1.*.c": {[]string{"w1.b.c", "w1.%.c"}, []string{"w1.b", "w1.b.c.d", "w1.c", "w1.b.d", "w2.b.c"}},
		"w3.*":   {[]string{"w3.b"}, []string{"w3", "w3.b.c"}},
		"*.w4":   {[]string{"a.w4"}, []string{"w4", "a.b.w4"}},
		"w5.*.*": {[]string{"w5.a.b"}, []string{"w5.a"}},
		"w6.x":   {[]string{"w6.x"}, []string{"w6.y", "w6.x.x", "w6.X"}},
	} {
		l := listen(t, t.B, bus.Data, pattern)
		for _, subject := range append(subjects.out, subjects.in...) {
			check(t, "send", t.A.Send(subject, "", nil))
		}
		var got []string
		for _, m := range l.waitFor(t, len(subjects.in)) {
			got = append(got, m.Subject)
		}
		if strings.Join(got, " ") != strings.Join(subjects.in, " ") {
			t.Errorf("%s: got %q, want %q", pattern, got, subjects.in)
		}
		l.stop()
	}
}

func dataIsCopied(t contract) {
	near, far := listen(t, t.B, bus.Control, "copy.*"), listen(t, t.B, bus.Data, "copy.*")
	data := []byte("abcd")
	check(t, "publish", t.A.Publish("copy.publish", data))
	check(t, "send", t.A.Send("copy.send", "", data))
	copy(data, "----")
	for _, l := range []*listener{near, far} {
		for _, m := range l.waitFor(t, 2) {
			if string(m.Data) != "abcd" {
				t.Errorf("%s: got %q, want the data as it was published", m.Subject, m.Data)
			}
			copy(m.Data, "****")
		}
	}
}

func subscribeThenPublish(t contract) {
	const rounds = 50
	data, control := listen(t, t.B, bus.Data), listen(t, t.B, bus.Control)
	for i := range rounds {
		subject := fmt.Sprint("fresh.", i)
		check(t, "subscribe", data.Subscribe(subject, "", data.take))
		check(t, "publish on the other lane", t.B.Publish(subject, number(i)))
		check(t, "subscribe", control.Subscribe("and."+subject, "", control.take))
		check(t, "send on the other lane", t.B.Send("and."+subject, "", number(i)))
	}
	data.waitFor(t, rounds)
	control.waitFor(t, rounds)
}
