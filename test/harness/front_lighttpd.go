package harness

var lighttpd = kind{
	program: []string{"lighttpd"},
	args:    []string{"-D -f $DIR/lighttpd.conf"},
	files: map[string]string{"lighttpd.conf": `
server.modules = ( "mod_proxy", "mod_openssl", "mod_deflate" )
server.document-root = "$DIR"
server.bind = "127.0.0.1"
server.port = $PORT
server.upload-dirs = ( "$DIR" )
$SERVER["socket"] == "127.0.0.1:$TLSPORT" {
	ssl.engine = "enable"
	ssl.pemfile = "$DIR/pair.pem"
}
$[proxy]
$[config]
`},
	places: Lines{
		"proxy": `$HTTP["url"] =~ "^/events" {
	proxy.server = ( "" => ( ( "host" => "$HUBHOST", "port" => $HUBPORT ) ) )
}`,
		"config": "",
	},
	cleartext: true, encrypted: true,
}
