package source

import "errors"

// Why a source, or one upstream request of it, has ended.
var (
	errUnheard   = errors.New("nobody listens")
	errRenewed   = errors.New("it is opened anew")
	errSlow      = errors.New("the app did not answer in time")
	errGone      = errors.New("its route is gone")
	errLoggedOut = errors.New("the user was logged out")
	errClosed    = errors.New("the hub is about to end")
	errAnswered  = errors.New("the app answered with something else")
	errLongEvent = errors.New("an event is longer than event")
)
