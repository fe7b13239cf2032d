// Package doctest has no code of its own: its tests hold the documentation against the packages that it is about. The page
// docs/from-node.md names nothing that is not there and leaves out nothing that is, and every call has an example. Start at
// page_test.go.
package doctest
