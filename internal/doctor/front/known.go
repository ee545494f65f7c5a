package front

import (
	"net/http"
	"slices"
	"strings"
)

// Hub is the name of what the hub itself runs in.
const Hub = "Caddy"

// Unknown stands for something in front that is not recognised.
const Unknown = "unknown"

// Known are all fronts that are known, in the order of a report.
var Known = []*Front{nginx, apache, haproxy, varnish, squid, lighttpd, h2o, trafficServer, hitch, stunnel, caddy, cloudflare, alb}

// marked returns the front that a text of a header names, or nil.
func marked(text string) *Front {
	text = strings.ToLower(text)
	for _, f := range Known {
		if slices.ContainsFunc(f.marks, func(mark string) bool { return strings.Contains(text, mark) }) {
			return f
		}
	}
	return nil
}

// ByHeader returns the names of the fronts that a header reveals, the one nearest to the client first. If Server says Caddy, that is the
// hub, not a front.
func ByHeader(h http.Header) (names []string) {
	if h.Get("CF-Ray") != "" {
		names = append(names, cloudflare.Name)
	}
	// Each proxy adds itself at the end of Via.
	stations := strings.Split(strings.Join(h.Values("Via"), ","), ",")
	for _, station := range slices.Backward(stations) {
		if f := marked(station); f != nil {
			names = append(names, f.Name)
		} else if strings.TrimSpace(station) != "" {
			names = append(names, Unknown)
		}
	}
	if h.Get("X-Varnish") != "" {
		names = append(names, varnish.Name)
	}
	servers := h.Values("Server")
	for i, server := range servers {
		if f := marked(server); f != nil && (f != caddy || i > 0) {
			names = append(names, f.Name)
		}
	}
	return Distinct(names)
}

// Distinct returns the names without those that came before.
func Distinct(names []string) (once []string) {
	for _, name := range names {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}

// byPage returns the name of the front that gave an answer itself, or Unknown if that front is not known. It returns "" if there is no
// answer, or if Go's server gave it, on which Caddy runs.
func byPage(a Answer) string {
	if a.status() == 0 || a.isGo() {
		return ""
	}
	for _, f := range Known {
		if f.own != nil && f.own(a) {
			return f.Name
		}
	}
	for _, name := range []string{"Server", "Via"} {
		if f := marked(a.header().Get(name)); f != nil && f != caddy {
			return f.Name
		}
	}
	return Unknown
}

// Standing returns the names of the fronts that answers reveal: the first answers a request that no server accepts, the second an
// ordinary one, and the others answer requests with longer and longer URLs.
func Standing(answers []Answer) (names []string) {
	add := func(name string) {
		if name != "" {
			names = append(names, name)
		}
	}
	bad, plain := answers[0], answers[1]
	add(byPage(bad))
	names = append(names, ByHeader(plain.header())...)
	if plain.lowerCase() && len(names) == 0 {
		add(Unknown)
	}
	for _, long := range answers[2:] {
		if status := long.status(); status == http.StatusRequestURITooLong || status == http.StatusRequestHeaderFieldsTooLarge {
			add(byPage(long))
		}
	}
	return Distinct(names)
}
