#!/bin/sh
# One would guess: whether a proxy notices that a client has left in the middle of a streamed answer does not depend on TLS.
# What happens: (Traffic Server 9.2.5 of Debian 12, HTTP/1.1) with TLS it closes the connection to the origin as soon as the client has
#   closed its own. Without TLS it goes on until it has written to the client in vain: at the second chunk after the client has left.
# Seen (2026-11-28): an origin that sends a chunk every 3 s sees its connection closed after
#   cleartext: 6.0 s
#   TLS:       0.0 s
# Needs Debian 12, python3 and openssl.
set -eu
package=trafficserver
version=9.2.5+ds-0+deb12u4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cannot() {
	echo "cannot install $package $version: $1"
	exit 2
}

chmod 755 "$dir"
(cd "$dir" && apt-get download "$package=$version" >"$dir/install" 2>&1 && dpkg -x ./*.deb root) || cannot "$(tail -n 1 "$dir/install")"
root=$dir/root/usr
LD_LIBRARY_PATH=$root/lib/trafficserver
export LD_LIBRARY_PATH
! ldd "$root/bin/traffic_server" | grep 'not found' || cannot "libraries that it depends on are missing"
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null

cat >"$dir/try.py" <<'END_OF_TRY'
import select, socket, ssl, subprocess, sys, threading, time

folder, program = sys.argv[1:]
origin = socket.create_server(("127.0.0.1", 0))
free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
plain, secure = (s.getsockname()[1] for s in free)
for s in free:
    s.close()

closed = threading.Event()

def answer(conn):
    conn.recv(65536)
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            conn.sendall(b"3\r\n:\n\n\r\n")
            if select.select([conn], [], [], 3)[0] and not conn.recv(1):
                break
    except OSError:
        pass
    closed.set()

def serve():
    while True:
        conn, _ = origin.accept()
        threading.Thread(target=answer, args=(conn,), daemon=True).start()

threading.Thread(target=serve, daemon=True).start()

def write(name, text):
    with open(folder + "/" + name, "w") as f:
        f.write(text)

target = "http://127.0.0.1:%d/" % origin.getsockname()[1]
write("records.config", "".join("CONFIG proxy.config.%s\n" % line for line in (
    "http.server_ports STRING %d:ip-in=127.0.0.1 %d:ip-in=127.0.0.1:ssl" % (plain, secure),
    "admin.user_id STRING #-1", "http.cache.http INT 0", "log.logging_enabled INT 0", "exec_thread.autoconfig INT 0", "exec_thread.limit INT 2")))
write("remap.config", "map http://localhost:%d/ %s\nmap https://localhost:%d/ %s\n" % (plain, target, secure, target))
write("ssl_multicert.config", "dest_ip=* ssl_cert_name=%s/cert.pem ssl_key_name=%s/key.pem\n" % (folder, folder))
write("ip_allow.yaml", "ip_allow:\n  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}\n")
write("storage.config", "%s 32M\n" % folder)
write("runroot.yaml", "".join("%s: %s\n" % (name, folder) for name in (
    "prefix", "exec_prefix", "bindir", "sbindir", "sysconfdir", "datadir", "includedir", "libdir", "libexecdir", "localstatedir", "runtimedir", "logdir", "cachedir")))
with open(folder + "/log", "w") as log:
    server = subprocess.Popen([program], env={"TS_RUNROOT": folder, "LD_LIBRARY_PATH": program.rsplit("/", 2)[0] + "/lib/trafficserver"}, stdout=log, stderr=log)

def connect(port):
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port), 10)
        except OSError:
            time.sleep(0.1)
    print(open(folder + "/log").read())
    sys.exit(2)

def leave(conn, port):
    closed.clear()
    conn.sendall(b"GET /events HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % port)
    got = b""
    while b":\n\n" not in got:
        more = conn.recv(65536)
        if not more:
            print("no stream:", got)
            sys.exit(2)
        got += more
    conn.close()
    left = time.time()
    closed.wait(30)
    return time.time() - left

try:
    cleartext = leave(connect(plain), plain)
    context = ssl._create_unverified_context()
    tls = leave(context.wrap_socket(connect(secure), server_hostname="localhost"), secure)
finally:
    server.kill()
print("cleartext: %.1f s" % cleartext)
print("TLS:       %.1f s" % tls)
if cleartext > 2.5 and tls < 1.5:
    sys.exit(0)
print("changed")
sys.exit(1)
END_OF_TRY
python3 "$dir/try.py" "$dir" "$root/bin/traffic_server"
