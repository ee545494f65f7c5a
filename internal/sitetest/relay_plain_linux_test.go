package sitetest_test

import "testing"

// Behind the listener wrapper, plain streams are the same.
func TestWrapperOfRelayPlain(t *testing.T) { testRelayPlain(t, wrapped, overHTTPS) }

// Behind the listener wrapper, they are cut off in the same way.
func TestWrapperOfRelayPlainThatIsCutOff(t *testing.T) { testRelayPlainIsCutOff(t, wrapped, overHTTPS) }
