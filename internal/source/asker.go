package source

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// asker is a client that is about to listen. It waits for the app's first answer.
type asker struct {
	w       http.ResponseWriter
	visitor *visitor
	outcome chan outcome // takes one
	early   bool         // it came before the first answer

	mu   sync.Mutex // guards gone; held while the client is written to
	gone bool       // the client has left, and w must not be used any more
}

// outcome is what becomes of an asker.
type outcome struct {
	kind    outcomeKind
	spread  time.Duration // of a rejected one: how long it is to wait at most
	err     error         // of an answered one: the next handlers'
	aborted bool          // of an answered one: the answer broke off
}

type outcomeKind uint8

const (
	left     outcomeKind = iota // before there was an answer
	listens                     // it may subscribe
	rejected                    // it is to come again
	answered                    // it has got the app's answer, or err is to be answered
)

// await waits until it is known what becomes of the client.
func (a *asker) await(ctx context.Context) outcome {
	select {
	case o := <-a.outcome:
		return o
	case <-ctx.Done():
	}
	a.mu.Lock()
	a.gone = true
	a.mu.Unlock()
	return outcome{kind: left}
}

// use calls f with the client's response, unless the client has left.
func (a *asker) use(f func(http.ResponseWriter) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return errUnheard
	}
	return f(a.w)
}
