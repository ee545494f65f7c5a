package matcher

// recovered calls f, and returns its error, or fallback if it panics: parsers written by others read what strangers send.
func recovered(fallback error, f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = fallback
		}
	}()
	return f()
}
