// Package matcher compiles the topic matchers of the Mercure protocols, and matches topics with them. What comes in is from
// strangers: a client's URL, or a token that a customer's app signs. So texts are bounded, errors never repeat them, and every match
// takes a time that is bounded by the length of matcher and topic.
//
// # Kinds
//
//   - exact: compares bytes.
//   - template (protocol 0.x): an RFC 6570 URI template. It matches the topic's bytes. A text that is no valid template, or has no
//     variables, is exact; a template also matches its own text.
//   - URL pattern (protocol 1.0): a WHATWG URL pattern. It matches the topic parsed as a URL: "HTTPS://Example.com:443/a/../b" is
//     "https://example.com/b". Relative topics and patterns are resolved against the hub's URL, the [Base]. An absolute pattern is
//     compiled without it. Groups with a regular expression are refused, and so are more than 16 wildcards.
//   - "*": all, in both protocols.
//
// # Index
//
// A hub with many patterns finds those that may match by their fixed prefix: Match(topic) implies that Space().Spell(topic) begins
// with Prefix(). A URL pattern says nothing about how a topic's own bytes begin, so each Base spells topics in a way of its own.
package matcher
