#!/bin/sh
# One would guess: whether a proxy passes a streamed answer of FastCGI on as it comes does not depend on the protocol of the client. If it holds
#   the answer back, it does so for all.
# What happens: (Apache 2.4.71 of Debian 12, mod_proxy_fcgi and mod_http2, without flushpackets) over HTTP/2 each event comes at once. Over
#   HTTP/1.1 not even the headers come. With flushpackets=on both come at once.
# Seen (2026-11-29): of an event each 0.3 s, within 6 s there came over
#   HTTP/1.1, default:         0
#   HTTP/1.1, flushpackets=on: 20
#   HTTP/2, default:           20
# Needs Debian 12, python3, curl with HTTP/2 and, if root runs it, the user nobody.
set -eu
package=apache2-bin
version=2.4.71-1~deb12u1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cannot() {
	echo "cannot install $package $version: $1"
	exit 2
}

chmod 755 "$dir"
(cd "$dir" && apt-get download "$package=$version" >"$dir/install" 2>&1 && dpkg -x ./*.deb root) || cannot "$(tail -n 1 "$dir/install")"
root=$dir/root/usr
! ldd "$root/sbin/apache2" "$root/lib/apache2/modules/mod_http2.so" | grep 'not found' || cannot "libraries that it depends on are missing"

cat >"$dir/try.py" <<'END_OF_TRY'
import socket, struct, subprocess, sys, threading, time

folder, root = sys.argv[1:]

def record(kind, content):
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content

def answer(conn):
    requests = conn.makefile("rb")
    kind = length = None
    while (kind, length) != (5, 0):  # the end of the request's body
        head = requests.read(8)
        if len(head) < 8:
            return
        _, kind, _, length, padding, _ = struct.unpack(">BBHHBB", head)
        requests.read(length + padding)
    try:
        conn.sendall(record(6, b"Content-Type: text/event-stream\r\n\r\n"))
        for i in range(60):
            conn.sendall(record(6, b"data: %d\n\n" % i))
            time.sleep(0.3)
    except OSError:
        pass
    conn.close()

def serve(app):
    while True:
        conn, _ = app.accept()
        threading.Thread(target=answer, args=(conn,), daemon=True).start()

apps = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
for app in apps:
    threading.Thread(target=serve, args=(app,), daemon=True).start()
free = socket.create_server(("127.0.0.1", 0))
port = free.getsockname()[1]
free.close()
modules = ("mpm_event", "authz_core", "proxy", "proxy_fcgi", "http2")
with open(folder + "/conf", "w") as conf:
    for name in modules:
        conf.write("LoadModule %s_module %s/lib/apache2/modules/mod_%s.so\n" % (name, root, name))
    conf.write("""ServerName localhost
ServerRoot %(folder)s
PidFile %(folder)s/pid
DefaultRuntimeDir %(folder)s
Mutex file:%(folder)s default
ErrorLog %(folder)s/log
User nobody
Group nogroup
Listen 127.0.0.1:%(port)d
Protocols h2c http/1.1
ProxyPass /default fcgi://127.0.0.1:%(first)d/app.php
ProxyPass /flush fcgi://127.0.0.1:%(second)d/app.php flushpackets=on
""" % {"folder": folder, "port": port, "first": apps[0].getsockname()[1], "second": apps[1].getsockname()[1]})
server = subprocess.Popen([root + "/sbin/apache2", "-D", "FOREGROUND", "-f", folder + "/conf"])

def events(path, option):
    got = subprocess.run(["curl", "-sN", "--max-time", "6", option, "http://127.0.0.1:%d/%s" % (port, path)], stdout=subprocess.PIPE).stdout
    return got.count(b"data:")

try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 10).close()
            break
        except OSError:
            time.sleep(0.1)
    else:
        print(open(folder + "/log").read())
        sys.exit(2)
    old = events("default", "--http1.1")
    flushed = events("flush", "--http1.1")
    new = events("default", "--http2-prior-knowledge")
finally:
    server.terminate()
    server.wait()
print("HTTP/1.1, default:         %d" % old)
print("HTTP/1.1, flushpackets=on: %d" % flushed)
print("HTTP/2, default:           %d" % new)
if old == 0 and flushed > 5 and new > 5:
    sys.exit(0)
print("changed")
sys.exit(1)
END_OF_TRY
python3 "$dir/try.py" "$dir" "$root"
