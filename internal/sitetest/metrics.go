package sitetest

import (
	"net/http"
	"strconv"
	"strings"
)

// Scrape reads all metrics, by name and labels as they are written.
func (s *Site) Scrape() map[string]float64 {
	s.T.Helper()
	a := s.Do("GET", "/metrics", "")
	if a.Status != http.StatusOK {
		s.T.Fatalf("got %d %s", a.Status, a.Body)
	}
	values := map[string]float64{}
	for line := range strings.Lines(a.Body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		series, text, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok {
			continue // without labels: another's
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			s.T.Fatalf("%q: %v", line, err)
		}
		values[series+"}"] = value
	}
	return values
}
