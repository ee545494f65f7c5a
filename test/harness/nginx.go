package harness

import (
	"os/exec"
	"strings"
	"testing"
)

// nginxConfig has the lines of Debian's nginx.conf that bear on a response, and else what nginx does by itself.
const nginxConfig = `
daemon off;
pid $DIR/pid;
error_log stderr;
worker_processes 1;
events {
	worker_connections 768;
}
http {
	sendfile on;
	tcp_nopush on;
	types_hash_max_size 2048;
	default_type application/octet-stream;
	gzip on;
	access_log off;
	client_body_temp_path $DIR/body;
	proxy_temp_path $DIR/proxy;
	fastcgi_temp_path $DIR/fastcgi;
	uwsgi_temp_path $DIR/uwsgi;
	scgi_temp_path $DIR/scgi;
	$[http]
}
`

// StartNginx starts nginx with one server block, in which the port $PORT is to be listened on. It returns the URL of it.
func StartNginx(t testing.TB, server string) string {
	t.Helper()
	port := Port(t)
	p := Start(t, "nginx", nginx(t, Replace(t, "the server block", server, "$PORT", port)))
	p.eventually(t, "nginx serves", func() bool { return accepts("tcp", "127.0.0.1:"+port) })
	return "http://localhost:" + port
}

func nginx(t testing.TB, servers string) *exec.Cmd {
	t.Helper()
	dir := Dir(t)
	config := WriteFile(t, dir, "nginx.conf", strings.NewReplacer("$DIR", dir, "$[http]", servers).Replace(nginxConfig))
	return exec.Command(Program(t, "nginx"), "-p", dir, "-e", "stderr", "-c", config)
}
