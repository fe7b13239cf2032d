package authn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// ErrUnavailable says that no auth service answered in time: the client is neither allowed nor refused, so its CONNECT is
// held and asked again.
var ErrUnavailable = errors.New("auth service unavailable")

// Unavailable is the message of the refusal that an unreadable verdict amounts to.
const Unavailable = "authentication unavailable"

// Ask puts a request to whichever auth service takes it and returns its verdict. ctx must have a deadline. The error is
// ErrUnavailable if nobody answered before it, also while the bus is disconnected; then ask again later. If somebody
// answered something else than a verdict it is ErrUnreadable, which the caller counts and treats as the refusal
// Unavailable. Any other error says that the request cannot be sent at all (too large, say) and amounts to a refusal too.
func Ask(ctx context.Context, b bus.Bus, s mesh.Subjects, req *ConnectRequest) (*ConnectReply, error) {
	answer, err := ask(ctx, b, s.AuthConnect(), req)
	if err != nil {
		return nil, err
	}
	return DecodeConnectReply(answer)
}

// ask returns what somebody answered.
func ask(ctx context.Context, b bus.Bus, subject string, question any) ([]byte, error) {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false) // it would make six bytes of each < in what clients send
	if err := encoder.Encode(question); err != nil {
		return nil, fmt.Errorf("encode auth request: %w", err)
	}
	answer, err := b.Request(ctx, subject, data.Bytes())
	if err != nil {
		if errors.Is(err, bus.ErrTooLarge) {
			return nil, fmt.Errorf("ask auth: %w", err)
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return answer, nil
}
