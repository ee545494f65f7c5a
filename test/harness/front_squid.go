package harness

// squid is an accelerator in front of the hub. It has shared memory by the name of -n, which others must not have.
var squid = kind{
	program: []string{"squid"},
	args:    []string{"-N -n port$PORT -d 1 -f $DIR/squid.conf"},
	files: map[string]string{"squid.conf": `
http_port 127.0.0.1:$PORT accel defaultsite=localhost no-vhost
cache_peer $HUBHOST parent $HUBPORT 0 no-query originserver
http_access allow all
visible_hostname localhost
pid_filename none
cache_log /dev/null
access_log none
coredump_dir $DIR
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
$[config]
`},
	places:    Lines{"config": ""},
	asked:     true,
	cleartext: true,
}
