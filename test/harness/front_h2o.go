package harness

var h2o = kind{
	program: []string{"h2o"},
	args:    []string{"-m worker -c $DIR/h2o.conf"},
	files: map[string]string{"h2o.conf": `
listen:
  host: 127.0.0.1
  port: $PORT
listen:
  host: 127.0.0.1
  port: $TLSPORT
  ssl:
    certificate-file: $CERT
    key-file: $KEY
num-threads: 1
hosts:
  default:
    paths:
      /events:
        proxy.reverse.url: http://hub:8080/events
$[config]
`},
	places:    Lines{"config": ""},
	cleartext: true, encrypted: true,
}
