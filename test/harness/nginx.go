package harness

import (
	"fmt"
	"os/exec"
	"testing"
)

// nginxConfig has the lines of Debian's nginx.conf that bear on a response, and else what nginx does by itself.
const nginxConfig = `
daemon off;
pid %[1]s/pid;
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
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	%[2]s
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
	config := WriteFile(t, dir, "nginx.conf", fmt.Sprintf(nginxConfig, dir, servers))
	return exec.Command(Program(t, "nginx"), "-p", dir, "-e", "stderr", "-c", config)
}
