package harness

// caddyFront is this repository's Caddy, without a hub.
var caddyFront = kind{
	program: []string{"caddy"},
	args:    []string{"run --config $DIR/Caddyfile --adapter caddyfile"},
	files: map[string]string{"Caddyfile": `{
	admin off
	auto_https off
	default_bind 127.0.0.1
	$[global]
}
(events) {
	$[site]
}
http://localhost:$PORT {
	import events
}
https://localhost:$TLSPORT {
	tls $CERT $KEY
	import events
}
`},
	places: Lines{
		"global": "",
		"site": `reverse_proxy /events hub:8080 {
		$[reverse_proxy]
	}`,
		"reverse_proxy": "",
	},
	env:       []string{"XDG_DATA_HOME=$DIR", "XDG_CONFIG_HOME=$DIR"},
	cleartext: true, encrypted: true,
}
