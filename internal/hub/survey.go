package hub

import (
	"context"
	"time"
)

const (
	// surveyEvery is how soon the directory is asked again at first, and surveyPause at most.
	surveyEvery = 2 * time.Millisecond
	surveyPause = 100 * time.Millisecond
)

// survey is what is known of an event's users on other nodes.
type survey struct {
	known bool // the directory has answered
	// sure: each node with a lease has confirmed that it has passed the event's place, and none has fallen silent.
	sure      bool
	elsewhere map[string]int // connections on other nodes
}

// surveyAll asks the other nodes about the users of events. A node answers once it has come to an event's place in the log:
// surveyAll asks until all have, or the rest cannot matter, or ctx is done. The channel is nil if there are no other nodes or
// no users.
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

// survey asks once, and reports whether nothing more is to be expected.
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
		found := map[string]bool{} // by a node that has confirmed: what another counts may have left since
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
			// The rest cannot matter once it is unsure anyway, or all users are found.
			over = over && (!s.sure || a.allFound(found))
			s.sure = false
		}
	}
	return over || ctx.Err() != nil
}

// allFound reports whether each user is connected, to this node or, by found, to another.
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
