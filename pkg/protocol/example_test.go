package protocol_test

import (
	"fmt"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// A packet without attachments, its arguments, and the answer the client asked for.
func ExampleParse() {
	p, err := protocol.Parse([]byte(`2/chat,12["say","lobby",{"text":"hi"}]`), protocol.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	name, err := protocol.EventName(p.Event)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s in %s\n", p.Type, name, p.Namespace)
	for _, arg := range protocol.Elements(nil, p.Data)[1:] {
		fmt.Printf("%s\n", arg)
	}
	answer := protocol.Packet{Type: protocol.Ack, Namespace: p.Namespace, ID: p.ID, Data: []byte(`["ok"]`)}
	fmt.Printf("%s\n", protocol.Append(nil, answer))
	// Output:
	// EVENT say in /chat
	// "lobby"
	// {"text":"hi"}
	// 3/chat,12["ok"]
}

// A packet with an attachment takes two messages.
func ExampleDecoder() {
	d := protocol.NewDecoder(protocol.Limits{MaxBytes: 1 << 20})
	_, complete, err := d.Text([]byte(`51-["upload",{"_placeholder":true,"num":0}]`))
	fmt.Println(complete, err)
	p, attachments, complete, err := d.Binary([]byte("bytes"))
	fmt.Println(complete, err)
	for _, arg := range protocol.Elements(nil, p.Data) {
		if num, ok := protocol.Placeholder(arg); ok {
			fmt.Printf("attachment %d: %s\n", num, attachments[num])
		}
	}
	// Output:
	// false <nil>
	// true <nil>
	// attachment 0: bytes
}
