package hub

import (
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// goneTime is how long a leave is remembered, and maxGone for how many users. A second leave within that time is passed
	// over.
	goneTime = 10 * time.Minute
	maxGone  = 1 << 17
)

// attendee is what attendance knows of a user.
type attendee struct {
	here   bool      // connected to this node
	away   time.Time // when the last connection to this node ended; zero if here, or away for longer than the debounce time
	leaver *leaver   // nil if there is no reason to believe that the user has left
	missed int       // sweeps in a row in which no node had the user, though the log has a join last

	logged   logged          // the newest record of the user in the log
	at       broker.Position // its position; zero if not known
	heard    time.Time       // when this node read a leave
	repeated broker.Position // position of a join that the log already had under the same key; zero if there is none
}

// logged is the kind of the newest record of a user in the log.
type logged uint8

const (
	nothingLogged logged = iota // none that this node knows of
	joinLogged
	leaveLogged
)

// of returns the attendee of a user, and creates it if there is none. The caller holds mu.
func (a *attendance) of(user string) *attendee {
	u := a.users[user]
	if u == nil {
		u = &attendee{}
		a.users[user] = u
	}
	return u
}

// look returns what is known of a user, without creating anything. The caller holds mu.
func (a *attendance) look(user string) attendee {
	if u := a.users[user]; u != nil {
		return *u
	}
	return attendee{}
}

// count returns what this node reports of a user to others: 0 if the user is not here, 2 if the user is and the log has the
// join, otherwise 1. A user who is away may come back, and counts as here.
func (u *attendee) count() int {
	switch {
	case !u.here && u.away.IsZero():
		return 0
	case u.logged == joinLogged:
		return 2
	}
	return 1
}

// hear records what the log says of a user. It reports whether the log has said the same before. If nothing is known of a user
// who leaves, the join is older than the window.
func (u *attendee) hear(state string, at broker.Position) (again bool) {
	now, heard := joinLogged, time.Time{}
	if state != "join" {
		now, heard = leaveLogged, time.Now()
	}
	if u.logged == now {
		return true
	}
	u.logged, u.at, u.heard = now, at, heard
	return false
}

// forget drops old leaves, or all of them if there are too many, and users of whom nothing is known.
func (a *attendance) forget(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	gone := 0
	for _, u := range a.users {
		if u.logged == leaveLogged {
			gone++
		}
	}
	for user, u := range a.users {
		if u.logged == leaveLogged && (gone > maxGone || now.Sub(u.heard) >= goneTime) {
			u.logged, u.at, u.heard = nothingLogged, broker.Position{}, time.Time{}
		}
		if *u == (attendee{}) {
			delete(a.users, user)
		}
	}
}
