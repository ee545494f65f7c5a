// Package egress sends requests that an app asks the proxy to send. It decides where they may go: only to origins that the config
// lists, by the addresses that their kind of origin allows, straight there, and nowhere else by a redirect.
//
// A URL is compared in the form in which it is dialled. The address is checked when the connection is made, after the name has been
// resolved, so that a name that leads elsewhere the next time gains nothing.
package egress
