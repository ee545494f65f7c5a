package hub

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// Reasons of an end that the caller of End gives, as clients are told them.
const (
	Draining    = "draining" // the hub closes
	Reloaded    = "reloaded" // the config in force does not admit the connection
	GrantEnded  = "expired"  // the connection's grant has ended
	SourceEnded = "source"   // the shared source that the connection hears has ended
)

const (
	// returnShare is the share of one stream in the time over which the clients of streams that end together come back.
	returnShare = 2 * time.Millisecond
	// maxSpread bounds that time.
	maxSpread = 10 * time.Second
)

// Spread returns the time over which the clients of n streams that end together come back.
func Spread(n int) time.Duration { return time.Duration(n) * returnShare }

// comeBack returns after how long a client is to come back: one to two seconds, or up to spread later.
func comeBack(spread time.Duration) time.Duration {
	return time.Second + rand.N(time.Second+min(spread, maxSpread))
}

// closing returns the last frame of a stream: why it ends, and when to come back. It has no id, so the client's last id stays.
func closing(reason string, spread time.Duration) []byte {
	return sse.Event{Type: "sse:closing", Data: fmt.Appendf(nil, `{"reason":%q}`, reason), Retry: comeBack(spread)}.Append(nil)
}

// closingUnnamed is closing for a client of another protocol, which knows no such event.
func closingUnnamed(spread time.Duration) []byte {
	return fmt.Appendf(nil, "retry: %d\n\n", comeBack(spread).Milliseconds())
}

// replaced tells a client that a newer stream has taken the place of its own. The retry keeps two pages with the same id from
// taking it from each other for ever.
var replaced = sse.Event{Type: "sse:superseded", Data: []byte("{}"), Retry: time.Hour}.Append(nil)
