package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// needed has the options that each broker requires.
var needed = map[string]map[string]any{
	"file": {"dir": "/var/lib/sse_push"}, "redis": {"url": "redis://127.0.0.1:6379"}, "nats": {}, "memory": {},
}

// Every text among a broker's options has {env.*} filled in when the config is loaded, or refuses it; and no other placeholder
// is taken for what it stands for.
func TestPlaceholdersOfBrokers(t *testing.T) {
	t.Setenv("SSE_PUSH_TEST_TEXT", "127.0.0.1:6379")
	found := 0
	for _, module := range caddy.GetModules("sse_push.brokers") {
		name := module.ID.Name()
		typ := reflect.TypeOf(module.New()).Elem()
		for i := range typ.NumField() {
			field := typ.Field(i)
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if isList := field.Type == reflect.TypeFor[[]string](); tag != "" && (isList || field.Type.Kind() == reflect.String) {
				found++
				t.Run(name+"."+tag, func(t *testing.T) { testBrokerText(t, module, i, tag, isList) })
			}
		}
	}
	if found < 20 {
		t.Errorf("looked at %d options", found)
	}
}

func testBrokerText(t *testing.T, module caddy.ModuleInfo, field int, tag string, isList bool) {
	config := func(text string) []byte {
		options := map[string]any{"name": module.ID.Name()}
		for option, value := range needed[module.ID.Name()] {
			options[option] = value
		}
		if options[tag] = text; isList {
			options[tag] = []string{text}
		}
		b, err := json.Marshal(options)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	validate := func(text string) error {
		var c caddy.Config
		whole := fmt.Sprintf(`{"admin": {"disabled": true}, "apps": {"http": {"servers": {"s": {"listen": [":8080"], "routes": [{"handle": [
			{"handler": "sse_push", "path": "/events", "anonymous": true, "broker": %s}]}]}}}}}`, config(text))
		if err := json.Unmarshal([]byte(whole), &c); err != nil {
			t.Fatal(err)
		}
		return caddy.Validate(&c)
	}
	for text, want := range map[string]string{
		"{http.request.host}": "{http.request.host} cannot be filled in", "{env.SSE_PUSH_TEST_NONE}": "SSE_PUSH_TEST_NONE is not set",
	} {
		if err := validate(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}

	broker := module.New()
	plain := strings.Replace(string(config("{env.SSE_PUSH_TEST_TEXT}")), `"name":"`+module.ID.Name()+`"`, `"_":0`, 1)
	if err := json.Unmarshal([]byte(plain), broker); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	err := broker.(caddy.Provisioner).Provision(ctx)
	value := fmt.Sprint(reflect.ValueOf(broker).Elem().Field(field).Interface())
	if err == nil && strings.Contains(value, "{env.") {
		t.Errorf("is %s", value)
	} else if err != nil && strings.Contains(value, "{env.") && !strings.Contains(err.Error(), "{env.SSE_PUSH_TEST_TEXT}") {
		t.Errorf("got %v", err)
	}
}
