package main

import "testing"

// Clients of Mercure's hub ask for the same in the older version.
func TestOlderPath(t *testing.T) {
	for i, want := range map[int]string{
		0: "topic=https%3A%2F%2Fx%2F7%2Fy",
		2: "topic=https%3A%2F%2Fx%2F7%2F%7Bid%7D",
		5: "topic=https%3A%2F%2Fx%2F7%2Fy&topic=https%3A%2F%2Fx%2F%7Ba%7D%2Fz7",
	} {
		if got := listenings[i].olderPath(7, 1000); got != "/.well-known/mercure?"+want {
			t.Errorf("%s: %s", listenings[i].name, got)
		}
	}
}
