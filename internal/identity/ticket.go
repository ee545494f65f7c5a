package identity

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/jsontext"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// A ticket is `sse1.<payload>.<signature>`: the payload is JSON in base64url without padding, the signature is HMAC-SHA256
// of all before the last dot, in lower-case hex. The prefix ensures that nothing else which an app signs with the same secret
// is a ticket.
const (
	ticketPrefix  = "sse1."
	maxTicket     = 8 << 10
	defaultMaxAge = 24 * time.Hour
	maxOnce       = 128
)

// Ticket lets in clients with a ticket that the app has signed.
type Ticket struct {
	// The secrets that the app signs with, of at least 32 bytes. With several, they can be rotated. Placeholders such as
	// `{env.SSE_PUSH_TICKET_SECRET}` are filled in when the config is loaded.
	Secrets []string `json:"secrets"`

	// The places where a ticket is looked for, in order. Default: the query parameter `ticket`.
	From []Carrier `json:"from,omitempty"`

	// How far ahead a ticket may expire; one that is valid for longer is refused. Default: 24h.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
}

// Check reports what is wrong with the settings.
func (t *Ticket) Check() error {
	if len(t.Secrets) == 0 {
		return errors.New("secrets: must not be empty")
	}
	for i, s := range t.Secrets {
		if err := secret.CheckKeyText(s); err != nil {
			return fmt.Errorf("secret number %d: %w", i+1, err)
		}
	}
	if t.MaxAge < 0 {
		return fmt.Errorf("max_age: must not be negative; is %s", time.Duration(t.MaxAge))
	}
	return checkCarriers(t.From)
}

func newTicketVerifier(t *Ticket) *ticketVerifier {
	v := &ticketVerifier{from: t.From, maxAge: cmp.Or(time.Duration(t.MaxAge), defaultMaxAge)}
	if len(v.from) == 0 {
		v.from = []Carrier{{In: "query", Name: "ticket"}}
	}
	for _, text := range t.Secrets {
		text = strings.TrimSpace(text)
		v.secrets = append(v.secrets, []byte(text))
		v.names = append(v.names, "ticket "+secret.Fingerprint([]byte(text)))
	}
	return v
}

// ticketVerifier verifies tickets.
type ticketVerifier struct {
	from    []Carrier
	secrets [][]byte
	names   []string // of the secrets
	maxAge  time.Duration
}

// vouches implements verifier.
func (v *ticketVerifier) vouches(by string) bool { return slices.Contains(v.names, by) }

// verify implements verifier.
func (v *ticketVerifier) verify(r *attempt) (*Grant, error) {
	text, err := carried(v.from, r)
	if err != nil || text == "" {
		return nil, err
	}
	return v.read(text, time.Now())
}

// read checks a ticket. It reads nothing in it before it knows that the signature is good.
func (v *ticketVerifier) read(text string, now time.Time) (*Grant, error) {
	if len(text) > maxTicket {
		return nil, invalid("too long")
	}
	dot := strings.LastIndexByte(text, '.')
	if !strings.HasPrefix(text, ticketPrefix) || dot < len(ticketPrefix) || len(text)-dot-1 != 2*sha256.Size {
		return nil, invalid("not of the form sse1.<payload>.<signature>")
	}
	signed, signature := text[:dot], text[dot+1:]
	by := -1
	for i, key := range v.secrets { // all of them, whichever signed
		if secret.Equal([]byte(macOf(signed, key)), []byte(signature)) {
			by = i
		}
	}
	if by < 0 {
		return nil, invalid("signed with none of the secrets")
	}
	g, err := readPayload(signed[len(ticketPrefix):])
	if err != nil {
		return nil, err
	}
	switch left := g.Expires.Sub(now); {
	case left <= 0:
		return nil, expired(-left)
	case left > v.maxAge:
		e := invalid("valid for longer than max_age")
		e.detail = "exp must be in seconds since 1970, and not more than " + v.maxAge.String() + " ahead of this machine's clock"
		return nil, e
	}
	if g.Once != "" {
		g.Once = "ticket " + secret.Fingerprint([]byte(signed))
	}
	g.by = v.names[by]
	return g, nil
}

// macOf returns the signature of a ticket's prefix and payload.
func macOf(signed string, key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return hex.EncodeToString(mac.Sum(nil))
}

// TicketPayload is what a ticket says.
type TicketPayload struct {
	User   string   `json:"user"`
	Topics []string `json:"topics,omitempty"`
	Exp    int64    `json:"exp"`
	Once   string   `json:"once,omitempty"`
}

// Sign returns the ticket.
func (p *TicketPayload) Sign(key []byte) string {
	plain, err := json.Marshal(p)
	if err != nil { // strings and a number
		panic(err)
	}
	signed := ticketPrefix + base64.RawURLEncoding.EncodeToString(plain)
	return signed + "." + macOf(signed, key)
}

// ReadTicket returns what a ticket says. It checks neither the signature nor the expiry.
func ReadTicket(text string) (*Grant, error) {
	rest, ok := strings.CutPrefix(text, ticketPrefix)
	if !ok || len(text) > maxTicket {
		return nil, errors.New(ticketPrefix + " is missing at its beginning")
	}
	payload, _, _ := strings.Cut(rest, ".")
	return readPayload(payload)
}

// CheckTicket reports why a ticket is not valid, whatever max_age a config has.
func CheckTicket(text string, key []byte) error {
	v := ticketVerifier{secrets: [][]byte{key}, names: []string{""}, maxAge: math.MaxInt64}
	_, err := v.read(text, time.Now())
	return err
}

// readPayload reads what the app has signed.
func readPayload(payload string) (*Grant, error) {
	plain, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil {
		return nil, invalid("the payload is not base64url without padding")
	}
	if err := jsontext.CheckText(plain); err != nil {
		return nil, invalid("the payload " + err.Error())
	}
	var t struct {
		User   json.RawMessage `json:"user"`
		Topics []string        `json:"topics"`
		Exp    int64           `json:"exp"`
		Once   string          `json:"once"`
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	d.DisallowUnknownFields() // an app that misspells a field means another grant
	if err := d.Decode(&t); err != nil {
		return nil, invalid("the payload is not an object with user, topics (a list), exp (whole seconds) and once (a string)")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, invalid("more follows the payload's object")
	}
	g := &Grant{Topics: t.Topics, Expires: time.Unix(t.Exp, 0), Once: t.Once}
	if g.User, err = userName(t.User); err != nil {
		return nil, invalid("user " + err.Error())
	}
	if err := CheckTopics(g.Topics); err != nil {
		return nil, invalid(err.Error())
	}
	if t.Exp <= 0 || t.Exp > maxTime {
		return nil, invalid("exp is missing, or not a time in seconds since 1970")
	}
	if len(t.Once) > maxOnce {
		return nil, invalid("once is too long")
	}
	return g, nil
}

// maxTime is the last second of the year 9999.
const maxTime = 253402300799

// userName reads a user from JSON: a string, or a whole number such as an id of a database.
func userName(raw json.RawMessage) (string, error) {
	var name string
	if err := json.Unmarshal(raw, &name); err != nil {
		if name, err = jsontext.WholeNumber(raw); err != nil {
			return "", err
		}
	}
	return name, rules.CheckName(name)
}
