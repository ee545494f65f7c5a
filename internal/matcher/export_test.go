package matcher

// Cached returns how many patterns are held.
func Cached() int {
	patterns.mu.Lock()
	defer patterns.mu.Unlock()
	return len(patterns.values)
}
