// Package egress sends requests that an app asks the proxy to send. They go only to origins that the config lists, at addresses
// that the kind of origin allows, through no proxy, and no redirect is followed.
//
// A URL is compared in the form in which it is dialled. The address is checked when the connection is made, after the name has been
// resolved, so that a name that leads elsewhere the next time gains nothing.
package egress
