package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
)

// outcome is how a request ended: a label value of a metric, and for refusals what decides the words for the client.
type outcome string

const (
	allowed       outcome = "allowed"
	malformed     outcome = "malformed_request"
	noPolicy      outcome = "no_policy"
	tokenRequired outcome = "token_required"
	tokenInvalid  outcome = "token_invalid"
	tokenExpired  outcome = "token_expired"
	tokenEarly    outcome = "token_not_yet_valid"
)

// refuse returns a refusal in words that help an honest client and tell a forger nothing.
func refuse(why outcome) *authn.ConnectReply {
	message := authn.Unavailable
	switch why {
	case malformed:
		message = "malformed request"
	case noPolicy:
		message = "no policy allows this namespace"
	case tokenRequired:
		message = "token required"
	case tokenInvalid:
		message = "invalid token"
	case tokenExpired:
		message = "token expired"
	case tokenEarly:
		message = "token not yet valid"
	case allowed: // not a refusal
	}
	return &authn.ConnectReply{Message: message}
}

// policy decides by what a client shows. Implementations are immutable and safe for concurrent use.
type policy interface {
	decide(shown credential, now time.Time) (*authn.ConnectReply, outcome)
}

// credential returns the token that a client shows, or the outcome of a refusal.
type credential func() (token string, why outcome)

// rule is one policy with its name, which is a label value of a metric.
type rule struct {
	name string
	policy
}

// Policies say which policy holds for which namespace. They are immutable; ParsePolicies makes them.
type Policies struct {
	exact    map[string]rule
	prefixes []prefixRule // the longest first; "*" is the empty one
	warnings []string     // for the log, at the start of the service
}

type prefixRule struct {
	prefix string
	rule
}

// ParsePolicies reads one line per policy, each <namespace>=<policy>:
//
//	/admin=jwt      this namespace
//	/team-*=tokens  every namespace that begins like this
//	*=allow         every other
//
// The exact name wins, then the longest prefix; a namespace that nothing fits is closed. The policies are allow (everybody
// may), tokens and jwt (see Keys, which are only read if a policy needs them). A name may contain "=": the last one counts.
// The error names the line, or the key that is missing or bad; never a secret.
func ParsePolicies(lines []string, keys Keys) (Policies, error) {
	p := Policies{exact: map[string]rule{}}
	made := map[string]policy{"allow": allow{}}
	for _, line := range lines {
		pattern, name, err := splitPolicy(line)
		if err != nil {
			return Policies{}, err
		}
		if made[name] == nil {
			if made[name], err = p.make(name, keys); err != nil {
				return Policies{}, fmt.Errorf("policy %.80q: %w", line, err)
			}
		}
		if !p.add(pattern, rule{name: name, policy: made[name]}) {
			return Policies{}, fmt.Errorf("policy %.80q: %q has one already", line, pattern)
		}
	}
	if p.empty() {
		return Policies{}, errors.New("no policy given: want <namespace>=<policy>, such as *=allow")
	}
	slices.SortFunc(p.prefixes, func(a, b prefixRule) int { return len(b.prefix) - len(a.prefix) })
	return p, nil
}

func splitPolicy(line string) (pattern, name string, err error) {
	i := strings.LastIndexByte(line, '=')
	if i < 0 {
		return "", "", fmt.Errorf("policy %.80q: want <namespace>=<policy>", line)
	}
	pattern, name = line[:i], line[i+1:]
	if pattern != "*" && !strings.HasPrefix(pattern, "/") {
		return "", "", fmt.Errorf("policy %.80q: a namespace begins with /, or is *", line)
	}
	return pattern, name, nil
}

// make returns the policy of a name, with its keys.
func (p *Policies) make(name string, keys Keys) (policy, error) {
	made, warning, err := newPolicy(name, keys)
	if warning != "" {
		p.warnings = append(p.warnings, warning)
	}
	return made, err
}

// newPolicy returns the policy of a name that needs keys, and a warning if they are weak.
func newPolicy(name string, keys Keys) (made policy, warning string, err error) {
	switch name {
	case "tokens":
		made, err = newTokens(keys)
		return made, "", err
	case "jwt":
		return newJWT(keys)
	default:
		return nil, "", fmt.Errorf("no policy is called %.40q: want allow, tokens or jwt", name)
	}
}

// add reports false if the pattern has a rule.
func (p *Policies) add(pattern string, r rule) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	if !open {
		_, taken := p.exact[pattern]
		p.exact[pattern] = r
		return !taken
	}
	taken := slices.ContainsFunc(p.prefixes, func(other prefixRule) bool { return other.prefix == prefix })
	p.prefixes = append(p.prefixes, prefixRule{prefix: prefix, rule: r})
	return !taken
}

func (p Policies) empty() bool { return len(p.exact) == 0 && len(p.prefixes) == 0 }

func (p Policies) warn(log *slog.Logger) {
	for _, w := range p.warnings {
		log.Warn("auth policy is weak", slog.String("reason", w))
	}
}

// decide returns the verdict on a request, the name of the policy that gave it ("none" if there is none), and its outcome.
func (p Policies) decide(q *authn.ConnectRequest, now time.Time) (*authn.ConnectReply, string, outcome) {
	r, ok := p.find(q.Namespace)
	if !ok {
		return refuse(noPolicy), "none", noPolicy
	}
	verdict, why := r.decide(func() (string, outcome) { return presented(q) }, now)
	return verdict, r.name, why
}

func (p Policies) find(namespace string) (rule, bool) {
	if r, ok := p.exact[namespace]; ok {
		return r, true
	}
	for _, r := range p.prefixes {
		if strings.HasPrefix(namespace, r.prefix) {
			return r.rule, true
		}
	}
	return rule{}, false
}

// allow lets everybody in, as nobody in particular.
type allow struct{}

func (allow) decide(credential, time.Time) (*authn.ConnectReply, outcome) {
	return &authn.ConnectReply{Allow: true}, allowed
}
