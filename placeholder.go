package ssepush

import "regexp"

// loadTime matches the placeholders that are filled in when the config is loaded.
var loadTime = regexp.MustCompile(`\{(?:env|file|system)\.[^{}]+\}`)
