package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// questionOf takes a question with one attachment, and returns its id.
func (k *client) questionOf(event, attachment string) (id int) {
	k.tb.Helper()
	text := k.next()
	if _, err := fmt.Sscanf(text, "451-%d", &id); err != nil || text != fmt.Sprintf(`451-%d[%q,{"_placeholder":true,"num":0}]`, id, event) {
		k.tb.Fatalf("got %q, want a question %s", text, event)
	}
	k.expect(attachment)
	return id
}

func TestBinaryAcksAnywhere(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		for _, io := range c.apps {
			answered := make(chan error, 1)
			go func() { // received below
				replies, err := io.Timeout(patience).EmitWithAck(t.Context(), "bytes?", []byte("\x00q"))
				var got []string
				for _, r := range replies {
					var data []byte
					if err = errors.Join(err, r.Bind(&data)); string(data) != "\xff"+r.SocketID {
						err = errors.Join(err, fmt.Errorf("%s says %q", r.SocketID, data))
					}
					got = append(got, r.SocketID)
				}
				if slices.Sort(got); !slices.Equal(got, ids) {
					err = errors.Join(err, fmt.Errorf("got replies of %v, want %v", got, ids))
				}
				answered <- err
			}()
			for _, k := range clients {
				k.send(fmt.Sprintf(`461-%d[{"_placeholder":true,"num":0}]`, k.questionOf("bytes?", "\x00q")))
				k.binary("\xff" + k.id)
			}
			if err := <-answered; err != nil { // CLU-007
				t.Error(err)
			}
			for _, k := range clients {
				remote, err := io.In(k.id).FetchSockets(t.Context())
				if err != nil || len(remote) != 1 {
					t.Fatalf("got %d, %v", len(remote), err)
				}
				go func() { // received below
					args, err := remote[0].Timeout(patience).EmitWithAck(t.Context(), "one?", []byte("q"))
					var data []byte
					if err = errors.Join(err, args.Bind(&data)); string(data) != "\x00\xff" {
						err = errors.Join(err, fmt.Errorf("got %q", data))
					}
					answered <- err
				}()
				k.send(fmt.Sprintf(`461-%d[{"_placeholder":true,"num":0}]`, k.questionOf("one?", "q")))
				k.binary("\x00\xff")
				if err := <-answered; err != nil { // CLU-007: of one socket, whoever has it
					t.Error(err)
				}
			}
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			replies, err := io.In(ids...).EmitWithAck(short, "nobody answers")
			cancel()
			if len(replies) != 0 || !errors.Is(err, socketio.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded) { // BRO-017: the context bounds it
				t.Errorf("got %d, %v", len(replies), err)
			}
			for _, k := range clients {
				k.question("nobody answers")
			}
		}
	})
}
