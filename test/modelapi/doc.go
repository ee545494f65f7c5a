// Package modelapi stands in for the APIs of language models: it streams tokens as they do, fails as they do, and counts what
// clients read, so that a test can show that a client that stopped costs nothing more.
package modelapi
