package harness

import "strings"

// apache has modules of Debian's default set and those of a proxy. A module that is loaded does nothing until it is told to.
var apache = kind{
	program: []string{"apache2"},
	args:    []string{"-D FOREGROUND -f $DIR/apache.conf"},
	files: map[string]string{"apache.conf": apacheModules("mpm_event", "authz_core", "proxy", "proxy_http", "proxy_fcgi", "ssl",
		"socache_shmcb", "http2", "headers", "setenvif", "env", "filter", "deflate", "brotli", "sed", "cache", "cache_disk", "reqtimeout") + `
ServerName localhost
ServerRoot $DIR
PidFile $DIR/pid
DefaultRuntimeDir $DIR
Mutex file:$DIR default
ErrorLog /dev/stderr
User www-data
Group www-data
StartServers 1
MinSpareThreads 25
MaxSpareThreads 75
ThreadsPerChild 25
SSLSessionCache none
RequestReadTimeout header=20-40,minrate=500
RequestReadTimeout body=10,minrate=500
Listen 127.0.0.1:$PORT
Listen 127.0.0.1:$TLSPORT
Protocols h2 http/1.1
<Directory />
	Require all denied
</Directory>
$[server]
<VirtualHost *:$PORT>
	$[host]
</VirtualHost>
<VirtualHost *:$TLSPORT>
	SSLEngine on
	SSLCertificateFile $CERT
	SSLCertificateKeyFile $KEY
	$[host]
</VirtualHost>
`},
	places: Lines{
		"server": "",
		"host":   "ProxyPass /events http://hub:8080/events",
	},
	cleartext: true, encrypted: true,
}

func apacheModules(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString("LoadModule " + name + "_module /usr/lib/apache2/modules/mod_" + name + ".so\n")
	}
	return b.String()
}
