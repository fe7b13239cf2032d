package e2e_test

import "testing"

// olderClients: the socket.io-client of 2.x where it is allowed, and where it is not.
func olderClients(t *testing.T, b binaries) {
	addrs := freeAddrs(t, 2)
	allowing, refusing := "http://"+addrs[0], "http://"+addrs[1]
	for i, flags := range [][]string{{"--allow-eio3"}, nil} {
		app := b.start(t, "app", "app", append(append(policies(t), "--listen", addrs[i]), flags...)...)
		app.ready(t, "http://"+addrs[i]+"/socket.io/?EIO=4&transport=polling")
	}
	if got, want := runNode(t, "older.mjs", "--allowing", allowing, "--refusing", refusing), 14; got != want {
		t.Errorf("%d scenarios reported, want %d", got, want)
	}
}
