package harness

import "os"

// hitch ends TLS in front of the hub, which has to speak HTTP/2 without TLS.
var hitch = kind{
	program: []string{"hitch"},
	args:    []string{"--config=$DIR/hitch.conf"},
	files: map[string]string{"hitch.conf": `
frontend = "[127.0.0.1]:$TLSPORT"
backend = "[$HUBHOST]:$HUBPORT"
pem-file = "$DIR/pair.pem"
daemon = off
workers = 1
ocsp-dir = ""
` + hitchUser() + `
$[config]
`},
	places:    Lines{"config": ""},
	encrypted: true,
}

// hitchUser is needed by a hitch that root starts, and refused to others.
func hitchUser() string {
	if os.Getuid() == 0 {
		return `user = "nobody"`
	}
	return ""
}

// stunnel ends TLS in front of the hub.
var stunnel = kind{
	program: []string{"stunnel", "stunnel4"},
	args:    []string{"$DIR/stunnel.conf"},
	files: map[string]string{"stunnel.conf": `
foreground = yes
pid =
syslog = no
[site]
accept = 127.0.0.1:$TLSPORT
connect = hub:8080
cert = $CERT
key = $KEY
$[service]
`},
	places:    Lines{"service": ""},
	encrypted: true,
}
