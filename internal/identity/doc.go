// Package identity finds out who sent a request, and what it may hear.
//
// A Chain, one for each subscribe route, turns a request into an Identity:
//
//  1. It asks the route's user sources (UserSource) in order. A header, query parameter, cookie or placeholder names the user
//     by itself. A Ticket, a JWT or an Authorize proves the user: its verifier returns a Grant.
//  2. A source that is absent from the request passes on to the next one. One that is present but invalid ends the search
//     with a refusal, which becomes a problem (RFC 9457) and a line of the log.
//  3. Without a user the client is refused, unless the route lets anonymous clients in.
//  4. The caller's enter function admits the client: before an app is asked, and otherwise once the user is known.
//  5. The Identity gets the route's topics, with their placeholders filled in, and those of the Grant.
//
// A connection keeps what Filled returns and its Grant. After a reload, the new chain's Vouches and Regrant say whether it may
// stay, and with which topics. The package knows no hub, no connection and no Caddyfile.
package identity
