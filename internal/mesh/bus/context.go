package bus

import "context"

type contextKey struct{}

// NewContext returns a context that carries b, for code that is given a context where it would otherwise dial: inside one
// process the application then shares the bus of the services.
func NewContext(ctx context.Context, b Bus) context.Context {
	return context.WithValue(ctx, contextKey{}, b)
}

// FromContext returns the bus that ctx carries, if any.
func FromContext(ctx context.Context) (Bus, bool) {
	b, ok := ctx.Value(contextKey{}).(Bus)
	return b, ok
}
