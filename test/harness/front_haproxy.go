package harness

// haproxy has the defaults of Debian's haproxy.cfg.
var haproxy = kind{
	program: []string{"haproxy"},
	args:    []string{"-db -f $DIR/haproxy.cfg"},
	files: map[string]string{"haproxy.cfg": `
global
	log stderr format raw local0
	$[global]

defaults
	log global
	mode http
	option httplog
	option dontlognull
	timeout connect 5000
	timeout client 50000
	timeout server 50000
	$[defaults]

frontend site
	bind 127.0.0.1:$PORT
	bind 127.0.0.1:$TLSPORT ssl crt $DIR/pair.pem alpn h2,http/1.1
	default_backend hub
	$[frontend]

backend hub
	server hub hub:8080
	$[backend]
`},
	places:    Lines{"global": "", "defaults": "", "frontend": "", "backend": ""},
	cleartext: true, encrypted: true,
}
