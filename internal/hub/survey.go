package hub

import (
	"context"
	"time"
)

const (
	// surveyEvery is the first pause before the directory is asked again, and surveyPause the longest.
	surveyEvery = 2 * time.Millisecond
	surveyPause = 100 * time.Millisecond
)

// survey is what the other nodes say of an event's users.
type survey struct {
	known bool // the directory has answered
	// sure is set if every node with a lease has confirmed that it has passed the event's place, and none has fallen silent.
	sure      bool
	elsewhere map[string]int // connections on other nodes, by user
}

// surveyAll asks the other nodes about the users of events. A node answers once it has come to an event's place in the log.
// surveyAll asks until all have answered, or the others do not matter, or ctx is done. The channel is nil if there are no other
// nodes or no users.
func (n *nodes) surveyAll(ctx context.Context, list []Awaited) <-chan []survey {
	users := 0
	for _, a := range list {
		users += len(a.users)
	}
	if n == nil || users == 0 {
		return nil
	}
	answer := make(chan []survey, 1)
	go func() {
		surveys := make([]survey, len(list))
		for wait := surveyEvery; !n.survey(ctx, list, surveys); wait = min(2*wait, surveyPause) {
			pause(ctx, wait)
		}
		answer <- surveys
	}()
	return answer
}

// survey asks once. It reports whether there is nothing more to expect.
func (n *nodes) survey(ctx context.Context, list []Awaited, surveys []survey) (over bool) {
	var names []string
	for i, a := range list {
		if surveys[i].known && surveys[i].sure {
			continue
		}
		if names = append(names, answerOf(a.number)); len(a.users) > 0 {
			for _, user := range a.users {
				names = append(names, userName+user, answerFor(a.number, user))
			}
		}
	}
	others, err := n.ask(ctx, names...)
	if err != nil {
		return true
	}
	over = true
	blind := n.blinded()
	for i, a := range list {
		s := &surveys[i]
		if s.known && s.sure {
			continue
		}
		s.known, s.sure, s.elsewhere = true, !blind, map[string]int{}
		found := map[string]bool{} // by nodes that have confirmed: connections that others count may have ended since
		pending := false
		for _, o := range others {
			confirmed := o.Counts[answerOf(a.number)] > 0
			switch {
			case o.Silent || !able(o):
				s.sure = false
			case !confirmed:
				pending = true
			}
			for _, user := range a.users {
				if n := o.Counts[answerFor(a.number, user)]; confirmed {
					s.elsewhere[user] += n
					found[user] = found[user] || n > 0
				} else {
					s.elsewhere[user] += o.Counts[userName+user]
				}
			}
		}
		if pending {
			// The others do not matter if it is unsure anyway, or all users were found.
			over = over && (!s.sure || a.allFound(found))
			s.sure = false
		}
	}
	return over || ctx.Err() != nil
}

// allFound reports whether every user is connected, to this node or, according to found, to another.
func (r *Receipt) allFound(found map[string]bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, user := range r.users {
		if !r.present[user] && !found[user] {
			return false
		}
	}
	return true
}
