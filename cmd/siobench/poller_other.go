//go:build !linux

package main

// poller exists on Linux only: elsewhere there is none, and every connection has a goroutine.
type poller struct{}

func newPoller() (*poller, error)             { return nil, nil }
func (p *poller) close()                      {}
func (p *poller) add(*wsClient) (bool, error) { return false, nil }
