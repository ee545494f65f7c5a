package redisbroker

import "github.com/sse-push/caddy-sse-push/broker"

// verdict says whether a log goes on from where a tail has come to.
type verdict uint8

const (
	unopened verdict = iota // the log has no epoch yet: it is new, or was emptied
	goesOn                  // nothing is missing: what comes next follows
	trimmed                 // what comes next was trimmed before the tail had read it
	renewed                 // entries are lost, and a node has opened a new epoch for that
	lost                    // entries are lost, and no node has noticed before
)

func (v verdict) String() string {
	return [...]string{"unopened", "goes on", "trimmed", "renewed", "lost"}[v]
}

// progress is how far a tail has come.
type progress struct {
	at      broker.Position     // the last entry read
	ordinal uint64              // how many entries had ever been added with it; only if counted
	counted bool                // ordinal is known
	known   map[uint64]struct{} // epochs seen
	acked   broker.Position     // the newest entry that this node was told is stored; zero: none
}

// continuity judges a view of the log, which was read with the entry at p.at to be checked. If the verdict is renewed, next is
// the oldest epoch that is new to the tail; if it is lost, floor is the position that a new epoch has to begin above.
func continuity(v *view, p progress) (what verdict, next epoch, floor broker.Position) {
	if len(v.epochs) == 0 {
		return unopened, epoch{}, broker.Position{}
	}
	acked := p.acked.Epoch == p.at.Epoch // otherwise an epoch that was opened since covers it
	what = v.follows(p)
	if what == goesOn && acked && v.last.less(idOf(p.acked)) {
		return lost, epoch{}, p.acked // the end is gone, which this node had appended and not yet read
	}
	if floor = p.at; acked && floor.Compare(p.acked) < 0 {
		floor = p.acked
	}
	if what == lost {
		for _, e := range v.epochs {
			if _, seen := p.known[e.name]; !seen {
				return renewed, e, floor
			}
		}
	}
	return what, epoch{}, floor
}

// follows reports whether what comes after p.at is all there (goesOn), was trimmed, or is lost.
//
// The entry itself is the best proof. If it is gone, the log may still go on from it: if it was trimmed, and exactly those
// entries that were added since are there.
func (v *view) follows(p progress) verdict {
	at := idOf(p.at)
	switch mine := v.epochs.find(p.at.Epoch); {
	case mine < 0, v.epochs.at(at).name != p.at.Epoch: // the epoch is gone, or was over before the tail's place
		return lost
	case v.sum != 0 && (p.at.Check == 0 || v.sum == p.at.Check):
		return goesOn
	case v.sum != 0, v.length > 0 && !at.less(v.first): // another entry has its id, or one is missing between others
		return lost
	case !p.counted:
		if v.length == 0 && v.last == at || v.length > 0 && at.next() == v.first {
			return goesOn
		}
		return trimmed
	case v.added < p.ordinal, v.added-p.ordinal < v.length: // fewer were added than before, or than there are
		return lost
	case v.added-p.ordinal == v.length:
		return goesOn
	}
	return trimmed
}
