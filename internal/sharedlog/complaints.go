package sharedlog

import (
	"fmt"
	"strings"
	"sync"
)

// Complaints is a brokertest.Reporter that keeps what a case says.
type Complaints struct {
	mu   sync.Mutex // guards said
	said []string
}

func (*Complaints) Helper() {}

func (*Complaints) Logf(string, ...any) {}

func (c *Complaints) Errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

// String returns one complaint a line; "" if there is none.
func (c *Complaints) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.said, "\n")
}
