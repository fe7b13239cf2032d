// Package a stands for a package under test. It may mention ABC-008: only tests cite.
package a

// One is what the tests use.
func One() int { return 1 }
