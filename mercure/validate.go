package mercure

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// check reports what is wrong with the settings. It makes no difference whether placeholders have been filled in.
func (m *Module) check() error {
	if err := request.CheckPrefix(m.path()); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if !m.speaksLegacy() && len(m.Issuers) == 0 {
		return errors.New("needs publisher_jwt or subscriber_jwt, to speak version 0.x, or issuer, to speak 1.0, or both")
	}
	if err := errors.Join(access.CheckOption("publisher_jwt", m.PublisherJWT), access.CheckOption("subscriber_jwt", m.SubscriberJWT)); err != nil {
		return err
	}
	if err := m.checkIssuers(); err != nil {
		return err
	}
	if !m.Anonymous && !m.knowsSubscribers() {
		return errors.New("has neither a subscriber key nor anonymous: every subscriber would be refused")
	}
	if err := checkCookieName(m.CookieName); err != nil {
		return fmt.Errorf("cookie_name: %w", err)
	}
	if err := guard.CheckCORS(placeholder.Settled(m.CORSOrigins...)); err != nil {
		return fmt.Errorf("cors_origins: %w", err)
	}
	for _, o := range placeholder.Settled(m.PublishOrigins...) {
		if err := request.CheckOrigin(o); err != nil {
			return fmt.Errorf("publish_origins: %w", err)
		}
	}
	return nil
}

func (m *Module) checkIssuers() error {
	if m.ResourceIdentifier != "" && len(m.Issuers) == 0 {
		return errors.New("resource_identifier: has no effect without issuer")
	}
	if len(m.Issuers) > 0 && m.ResourceIdentifier == "" {
		return errors.New("resource_identifier is missing: with issuer, a token must name it as its audience (aud), and the host name that a client " +
			"sends cannot be trusted; write: resource_identifier https://<host>" + m.path())
	}
	if err := checkResource(m.ResourceIdentifier); err != nil {
		return fmt.Errorf("resource_identifier: %w", err)
	}
	seen := map[string]bool{}
	for _, i := range m.Issuers {
		if err := i.Check(); err != nil {
			return fmt.Errorf("issuer %s: %w", i.Issuer, err)
		}
		if seen[i.Issuer] {
			return fmt.Errorf("issuer %s is given twice", i.Issuer)
		}
		seen[i.Issuer] = true
	}
	return nil
}

// path returns the hub's path.
func (m *Module) path() string { return cmp.Or(m.Path, defaultPath) }

// origin returns the hub's own origin, against which relative topics are resolved: that of the resource identifier, and never what a
// client takes the host to be. A hub that speaks only 0.x has no origin of its own that would matter.
func (m *Module) origin() string {
	u, err := url.Parse(m.ResourceIdentifier)
	if err != nil || u.Host == "" {
		return "https://hub.invalid"
	}
	return u.Scheme + "://" + u.Host
}

func (m *Module) speaksLegacy() bool { return m.PublisherJWT != nil || m.SubscriberJWT != nil }

func (m *Module) knowsSubscribers() bool {
	known := m.SubscriberJWT != nil
	for _, i := range m.Issuers {
		known = known || i.Subscriber != nil
	}
	return known
}

// checkResource reports what is wrong with a resource identifier, unless its placeholders are yet to be filled in.
func checkResource(id string) error {
	if id == "" || placeholder.AtLoad.MatchString(id) {
		return nil
	}
	u, err := url.Parse(id)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsAny(id, "?#\"\\ ") {
		return fmt.Errorf("%q must be a URL of the form https://host/path, with nothing after it", id)
	}
	return nil
}

// checkCookieName reports what is wrong with the name of a cookie, unless its placeholders are yet to be filled in.
func checkCookieName(name string) error {
	if name != "" && !placeholder.AtLoad.MatchString(name) && !httpguts.ValidHeaderFieldName(name) { // both are tokens of RFC 9110
		return fmt.Errorf("%q is not the name of a cookie", name)
	}
	return nil
}

// warnings says what the settings accept that should not be needed.
func (m *Module) warnings() (warnings []string) {
	if m.speaksLegacy() {
		warnings = append(warnings, "publisher_jwt and subscriber_jwt accept tokens of version 0.x: one without exp is valid for ever, each is valid at "+
			"any hub with the key, and one in a URL (?authorization=) ends up in logs; issuer has none of these weaknesses")
	}
	if strings.HasPrefix(m.ResourceIdentifier, "http:") {
		warnings = append(warnings, "resource_identifier is not https: tokens and cookies would be sent without encryption")
	}
	key := func(option string, k *access.Key) {
		if k != nil && strings.HasPrefix(k.JWKSURI, "http:") {
			warnings = append(warnings, option+": the key set is fetched without TLS: anyone on the network path can sign tokens")
		}
	}
	key("publisher_jwks_url", m.PublisherJWT)
	key("subscriber_jwks_url", m.SubscriberJWT)
	for _, i := range m.Issuers {
		key("issuer "+i.Issuer+" publisher", i.Publisher)
		key("issuer "+i.Issuer+" subscriber", i.Subscriber)
	}
	return warnings
}
