//go:build !linux

package filebroker

import (
	"errors"
	"testing"
)

func mountSmall(*testing.T, string, int) error { return errors.New("not on this system") }
