package harness

// trafficServer has the settings of Debian's records.config that bear on a response.
var trafficServer = kind{
	program: []string{"traffic_server"},
	args:    []string{""},
	files: map[string]string{
		"records.config": `
CONFIG proxy.config.http.server_ports STRING $PORT:ip-in=127.0.0.1 $TLSPORT:ip-in=127.0.0.1:ssl
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 2
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 120
CONFIG proxy.config.http.keep_alive_no_activity_timeout_out INT 120
CONFIG proxy.config.http.transaction_no_activity_timeout_in INT 30
CONFIG proxy.config.http.transaction_no_activity_timeout_out INT 30
CONFIG proxy.config.http.transaction_active_timeout_in INT 900
CONFIG proxy.config.http.transaction_active_timeout_out INT 0
CONFIG proxy.config.http.insert_request_via_str INT 1
CONFIG proxy.config.http.insert_response_via_str INT 0
CONFIG proxy.config.http.cache.required_headers INT 2
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.log.logging_enabled INT 0
$[records.config]
`,
		"remap.config":         "map http://localhost:$PORT/ http://hub:8080/\nmap https://localhost:$TLSPORT/ http://hub:8080/\n",
		"ssl_multicert.config": "dest_ip=* ssl_cert_name=$CERT ssl_key_name=$KEY\n",
		"ip_allow.yaml":        "ip_allow:\n  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}\n",
		"storage.config":       "$DIR 32M\n",
		"runroot.yaml": `prefix: $DIR
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: $DIR
datadir: $DIR
includedir: /usr/include
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
localstatedir: $DIR
runtimedir: $DIR
logdir: $DIR
cachedir: $DIR
`,
	},
	places:    Lines{"records.config": ""},
	env:       []string{"TS_RUNROOT=$DIR"},
	cleartext: true, encrypted: true,
}
