package hub

import (
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// goneTime is how long it is remembered that a user has left, and maxGone for how many users: a second leave within that
	// time is passed over.
	goneTime = 10 * time.Minute
	maxGone  = 1 << 17
)

// attendee is what attendance knows of a user.
type attendee struct {
	here   bool      // connected to this node
	away   time.Time // when the last connection to this node ended; zero: here, or away for longer than the debounce time
	leaver *leaver   // nil: there is no reason to think that the user has left
	missed int       // for how many sweeps the user was on no node, though the log has a join last

	logged   logged          // what the log has last
	at       broker.Position // of that record; zero: not known
	heard    time.Time       // when the log has said a leave
	repeated broker.Position // of a join that the log had before under the same key; zero: there is none
}

// logged is what the log has last of a user.
type logged uint8

const (
	nothingLogged logged = iota // as far as this node has read it
	joinLogged
	leaveLogged
)

// of returns what is known of a user, to be changed. The caller holds mu.
func (a *attendance) of(user string) *attendee {
	u := a.users[user]
	if u == nil {
		u = &attendee{}
		a.users[user] = u
	}
	return u
}

// look returns what is known of a user. The caller holds mu.
func (a *attendance) look(user string) attendee {
	if u := a.users[user]; u != nil {
		return *u
	}
	return attendee{}
}

// count returns 0 for a user who is not to be counted as here, 2 where the log has the join as well, else 1. A user who is
// away may come back.
func (u *attendee) count() int {
	switch {
	case !u.here && u.away.IsZero():
		return 0
	case u.logged == joinLogged:
		return 2
	}
	return 1
}

// hear notes what the log says, and reports whether it has said the same before. The join of a user of whom nothing is known
// is older than the window.
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

// forget drops leaves of long ago, or all of them if there are too many, and users of whom nothing is known.
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
