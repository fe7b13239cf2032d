// Package bustest holds what every bus must do, as tests that run against each implementation, and Faulty, a bus that
// loses, repeats, delays and cuts, for the tests of what stands on a bus. Start at Run, or at NewNetwork.
package bustest

import (
	"testing"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// Pair is two ends of one mesh. Both may be the same bus: then the addressee is in the sender's process.
type Pair struct {
	A, B bus.Bus
	// Stop cuts both from the server, Start ends that. Nil for a bus that needs no server.
	Stop, Start func()
	// Close closes both; it may be called twice.
	Close func()
}

// Open makes a pair for one test, which cleans it up.
type Open func(testing.TB) Pair

// contract is one test with its pair.
type contract struct {
	*testing.T
	Pair
}

// Run runs the contract against the pairs that open makes.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(contract)
	}{
		{"SendKeepsOrderAcrossSubjects", sendOrder},
		{"PublishKeepsOrder", publishOrder},
		{"OrderHoldsForEachOfManySenders", manySenders},
		{"PublishReachesEverySubscriberOnce", publishOnce},
		{"QueueGroupMembersShare", queueGroups},
		{"WildcardIsOneToken", wildcards},
		{"DataIsCopied", dataIsCopied},
		{"SubscriptionIsKnownOnBothLanes", subscribeThenPublish},
		{"RequestIsAnswered", requests},
		{"RequestOfQueueGroupIsAnsweredOnce", queueRequests},
		{"RequestWithoutResponders", noResponders},
		{"RequestEndsAtItsDeadline", requestDeadline},
		{"SendWithoutSubscriberIsNoticed", sendNotice},
		{"ReplyOfASendIsAnswered", sendReply},
		{"FullReceiverLosesAndCounts", slowReceiver},
		{"PayloadUpToTheLimit", payloads},
		{"EndOfRunUnsubscribes", endOfRun},
		{"SubjectsAreChecked", badSubjects},
		{"CloseEndsEverything", closing},
		{"OutageIsToldAndOver", outage},
		{"ForcedReconnect", forcedReconnect},
		{"Churn", churn},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(contract{t, open(t)}) })
	}
}
