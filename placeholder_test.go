package ssepush

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
)

// sample is how an option that takes text stands in a Caddyfile, with %s for the text, and a text that it takes.
type sample struct{ line, value string }

const publicKeySample = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="

var samples = map[string]sample{
	"path":           {"sse_push %s {\nanonymous\n}", "/events"},
	"topics":         {subscribing("topics %s"), "a/b"},
	"cors_origins":   {subscribing("cors_origins %s"), "https://app.example.com"},
	"hub":            {subscribing("hub %s"), "main"},
	"client_key":     {subscribing("client_key %s"), secretSample},
	"presence.topic": {subscribing("presence %s"), "room"},
	"protocols":      {subscribing("mercure {\ncookie_name %s\npublisher_jwt " + secretSample + "\nanonymous\n}"), "chat_token"},
	"broker":         {subscribing("broker file %s"), "/var/lib/sse_push"},

	"users.source":            {subscribing("user %s name"), "query"},
	"users.name":              {subscribing("user query %s"), "userId"},
	"users.from":              {subscribing("user header X-User from %s"), "10.0.0.0/8"},
	"users.ticket.secrets":    {subscribing("user ticket %s"), secretSample},
	"users.ticket.from.in":    {subscribing("user ticket " + secretSample + " {\nfrom %s ticket\n}"), "cookie"},
	"users.ticket.from.name":  {subscribing("user ticket " + secretSample + " {\nfrom cookie %s\n}"), "chat_ticket"},
	"users.jwt.keys":          {subscribing("user jwt {\nkey %s\n}"), publicKeySample},
	"users.jwt.secrets":       {jwtSample("secret %s"), secretSample},
	"users.jwt.key_files":     {jwtSample("key_file %s"), "/etc/keys/jwt.pem"},
	"users.jwt.jwks":          {subscribing("user jwt {\njwks %s\n}"), "https://login.example.com/keys"},
	"users.jwt.algorithms":    {jwtSample("algorithms %s"), "HS256"},
	"users.jwt.issuers":       {jwtSample("issuer %s"), "https://login.example.com"},
	"users.jwt.audiences":     {jwtSample("audience %s"), "chat"},
	"users.jwt.user_claim":    {jwtSample("user_claim %s"), "uid"},
	"users.jwt.topics_claim":  {jwtSample("topics_claim %s"), "my_topics"},
	"users.jwt.from.in":       {jwtSample("from %s jwt"), "cookie"},
	"users.jwt.from.name":     {jwtSample("from cookie %s"), "chat_jwt"},
	"users.authorize.target":  {subscribing("user authorize %s"), "/whoami"},
	"users.authorize.cookies": {subscribing("user authorize /whoami {\ncookies %s\n}"), "session"},
	"users.authorize.headers": {subscribing("user authorize /whoami {\nheaders %s\n}"), "X-Api-Key"},
	"internal.prefix":         {subscribing("internal %s {\nallow loopback\n}"), "/_sse"},
	"internal.tokens":         {subscribing("internal /_sse {\ntoken %s\n}"), secretSample},
	"internal.allow":          {subscribing("internal /_sse {\nallow %s\n}"), "10.0.0.0/8"},
	"internal.origins":        {subscribing("internal /_sse {\nallow loopback\norigins %s\n}"), "https://app.example.com"},
	"inspector.path":          {subscribing("inspector %s {\ntoken " + secretSample + "\n}"), "/_look"},
	"inspector.tokens":        {subscribing("inspector /_look {\ntoken %s\n}"), secretSample},
	"relay.to.url":            {relaying("to %s"), "https://api.example.com"},
	"relay.to.headers.name":   {relaying("to https://api.example.com {\nheader %s key\n}"), "X-Api-Key"},
	"relay.to.headers.value":  {relaying("to https://api.example.com {\nheader X-Api-Key %s\n}"), "key"},
	"relay.done":              {relaying("to https://api.example.com\nsecret " + secretSample + "\ndone %s"), "http://app.internal/"},
	"relay.secret":            {relaying("to https://api.example.com\nsecret %s"), secretSample},
	"source.share":            {subscribing("source {\nshare %s\n}"), "session"},
	"source.cookies":          {subscribing("source {\ncookies %s\n}"), "PHPSESSID"},
	"source.query":            {subscribing("source {\nquery %s\n}"), "room"},
	"source.replay":           {subscribing("source {\nreplay %s\n}"), "last"},
	"publish_header.targets":  {subscribing("publish_header %s"), "topic"},
	"publish_header.status":   {subscribing("publish_header topic {\nstatus %s\n}"), "2xx"},
}

const secretSample = "a-secret-of-thirty-two-bytes-or-more"

// subscribing is a directive with one more line, which comes third.
func subscribing(line string) string { return "sse_push /events {\nanonymous\n" + line + "\n}" }

func relaying(lines string) string {
	return subscribing("relay {\n" + lines + "\n}\ninternal /_sse {\nallow loopback\n}")
}

func jwtSample(line string) string {
	return subscribing("user jwt {\nsecret " + secretSample + "\n" + line + "\n}")
}

// textsOf returns the options of a type that take text, by their names in the JSON, with their treatments.
func textsOf(typ reflect.Type, name, treatment string) map[string]placeholder.Treatment {
	switch typ.Kind() {
	case reflect.String, reflect.Map, reflect.Interface:
		return map[string]placeholder.Treatment{name: placeholder.Treatment(treatment)}
	case reflect.Pointer, reflect.Slice:
		if typ == reflect.TypeFor[json.RawMessage]() {
			return map[string]placeholder.Treatment{name: placeholder.Treatment(treatment)}
		}
		return textsOf(typ.Elem(), name, treatment)
	case reflect.Struct:
		found := map[string]placeholder.Treatment{}
		for i := range typ.NumField() {
			field := typ.Field(i)
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if tag != "" || field.Anonymous {
				maps.Copy(found, textsOf(field.Type, strings.TrimPrefix(name+"."+tag, "."), field.Tag.Get("placeholders")))
			}
		}
		return found
	}
	return nil
}

// adaptedHandler returns the JSON of the one handler in a Caddyfile, and the whole config.
func adaptedHandler(t *testing.T, directive string) (handler, config []byte, err error) {
	t.Helper()
	config, _, err = caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\nadmin off\n}\n:8080 {\n"+directive+"\n}\n"), nil)
	if err != nil {
		return nil, nil, err
	}
	var v struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes []struct{ Handle []json.RawMessage }
				}
			}
		}
	}
	if err := json.Unmarshal(config, &v); err != nil {
		t.Fatal(err)
	}
	return v.Apps.HTTP.Servers["srv0"].Routes[0].Handle[0], config, nil
}

// loadError returns why Caddy does not take a config.
func loadError(t *testing.T, config []byte) error {
	t.Helper()
	var c caddy.Config
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&c)
}

// Every option that takes text treats placeholders as the tag of its field says: in a Caddyfile and in JSON.
func TestPlaceholders(t *testing.T) {
	options := textsOf(reflect.TypeFor[Handler](), "", "")
	delete(options, "places") // which holds no option
	known := []placeholder.Treatment{placeholder.Load, placeholder.None, placeholder.Key, placeholder.Request, placeholder.Guest}
	for option, treatment := range options {
		if !slices.Contains(known, treatment) {
			t.Errorf("%s: placeholders:%q is unknown", option, treatment)
		}
		if samples[option].line == "" {
			t.Errorf("%s has no sample here", option)
		}
	}
	for option := range samples {
		if _, ok := options[option]; !ok {
			t.Errorf("there is no option %s", option)
		}
	}
	if t.Failed() {
		return
	}
	file := filepath.Join(t.TempDir(), "jwt.pem")
	if err := os.WriteFile(file, []byte(publicKeySample), 0o600); err != nil {
		t.Fatal(err)
	}
	for option, treatment := range options {
		t.Run(option, func(t *testing.T) {
			s := samples[option]
			if option == "users.jwt.key_files" {
				s.value = file
			}
			t.Setenv("SSE_PUSH_TEST_TEXT", s.value)
			t.Setenv("SSE_PUSH_TEST_NESTED", "{env.SSE_PUSH_TEST_TEXT}")
			t.Setenv("SSE_PUSH_TEST_OF_REQUEST", "{http.request.host.labels.2}")
			t.Setenv("SSE_PUSH_TEST_EMPTY", " ")
			testTreatment(t, option, treatment, s)
		})
	}
}

// What a broker finds wrong only when the config is loaded has its place, too.
func TestPlaceOfBroker(t *testing.T) {
	_, config, err := adaptedHandler(t, "sse_push /events {\nanonymous\nbroker test late {\nmore\n}\n}")
	if err != nil {
		t.Fatal(err)
	}
	const want = "url: has no scheme, at Caddyfile:7"
	if err := loadError(t, config); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A user by a placeholder is one of each request, and what is in it of the environment must have a value.
func TestPlaceholderOfUser(t *testing.T) {
	t.Setenv("SSE_PUSH_TEST_TEXT", "tenant")
	for text, want := range map[string]string{
		"{http.auth.user.id}": "", "{env.SSE_PUSH_TEST_TEXT}-{http.auth.user.id}": "",
		"{env.SSE_PUSH_TEST_NONE}-{http.auth.user.id}": "users[0].name: {env.SSE_PUSH_TEST_NONE}: the environment variable SSE_PUSH_TEST_NONE is not set, at Caddyfile:6",
	} {
		_, config, err := adaptedHandler(t, "sse_push /events {\nuser "+text+"\n}")
		if err != nil {
			t.Fatal(err)
		}
		if err = loadError(t, config); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// An error does not tell a part of a secret that looks like a placeholder.
func TestPlaceholderInSecretIsNotTold(t *testing.T) {
	for _, secret := range []string{"abcdefghijklmnopqrstuvwxyz{s3c.r3t}abcdefgh", "{S3CR3T}-abcdefghijklmnopqrstuvwxyz-abcdefgh"} {
		_, _, err := adaptedHandler(t, subscribing("client_key `"+secret+"`"))
		if err == nil || strings.Contains(strings.ToUpper(err.Error()), "S3C") || !strings.Contains(err.Error(), "what stands in braces cannot be filled in") {
			t.Errorf("got %v", err)
		}
	}
}

func testTreatment(t *testing.T, option string, how placeholder.Treatment, s sample) {
	caddyfile := func(text string) string { return fmt.Sprintf(s.line, text) }
	place := regexp.MustCompile(` at Caddyfile:[5-9]`)
	refused := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) || !place.MatchString(err.Error()) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	_, plain, err := adaptedHandler(t, caddyfile(s.value))
	if err == nil {
		err = loadError(t, plain)
	}
	if err != nil {
		t.Fatalf("the sample: %v", err)
	}
	inJSON := func(text string) error {
		return loadError(t, []byte(strings.Replace(string(plain), `"`+s.value+`"`, `"`+text+`"`, 1)))
	}

	// A placeholder of the request.
	_, _, err = adaptedHandler(t, caddyfile("{labels.2}"))
	switch how {
	case placeholder.Request:
		if err != nil || inJSON("{http.request.host.labels.2}") != nil {
			t.Errorf("of the request: %v, in JSON: %v", err, inJSON("{http.request.host.labels.2}"))
		}
	case placeholder.None:
		refused("of the request", err, "")
		if inJSON("{http.request.host.labels.2}") == nil {
			t.Error("of the request, in JSON: loads")
		}
		if _, _, err := adaptedHandler(t, caddyfile("{env.SSE_PUSH_TEST_TEXT}")); err == nil {
			t.Error("of the environment: loads")
		}
		return
	case placeholder.Key:
		refused("of the request", err, "is not a public key")
	default:
		refused("of the request", err, "{http.request.host.labels.2} cannot be filled in")
		if err := inJSON("{http.request.host.labels.2}"); err == nil || !strings.Contains(err.Error(), "cannot be filled in") {
			t.Errorf("of the request, in JSON: got %v", err)
		}
	}

	// One of the environment, from a Caddyfile.
	for variable, want := range map[string]string{
		"TEXT": "", "NONE": "the environment variable SSE_PUSH_TEST_NONE is not set", "EMPTY": "SSE_PUSH_TEST_EMPTY is empty",
		"NESTED": "stands for another placeholder", "OF_REQUEST": "stands for another placeholder",
	} {
		p := "{env.SSE_PUSH_TEST_" + variable + "}"
		handler, config, err := adaptedHandler(t, caddyfile(p))
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		if err = loadError(t, config); want != "" {
			refused(p, err, want)
			if err := inJSON(p); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), strings.Split(option, ".")[0]) {
				t.Errorf("%s, in JSON: got %v", p, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", p, err)
		}
		testFilled(t, handler, s.value, how)
	}
}

// testFilled holds that a handler's options have a value and no placeholder, unless they keep it for each request.
func testFilled(t *testing.T, handler []byte, value string, how placeholder.Treatment) {
	t.Helper()
	var h Handler
	if err := json.Unmarshal(handler, &h); err != nil {
		t.Fatal(err)
	}
	if err := h.fillIn(caddy.NewReplacer()); err != nil {
		t.Fatal(err)
	}
	found := false
	if err := h.options(func(o placeholder.Option) error {
		found = found || o.Treatment != placeholder.Guest && o.Texts()[0] == value
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if found != (how == placeholder.Load || how == placeholder.Key) {
		t.Errorf("filled in: %v", found)
	}
}
