package natsbroker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/broker/natsbroker"
	"github.com/sse-push/caddy-sse-push/internal/hubtest"
)

// The tests run against two servers: the one that the distribution has, and the current one, built from its module.

func TestMain(m *testing.M) { os.Exit(hubtest.Main(m)) }

// built returns the path of the current server, which go keeps in its cache.
var built = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "tool", "-n", "github.com/nats-io/nats-server/v2")
	cmd.Dir = filepath.Join("..", "..", "test")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("building nats-server: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
})

// binaries find each server's program.
var binaries = map[string]func(testing.TB) string{"installed": installed, "current": current}

// each runs a test against both servers, at the same time.
func each(t *testing.T, test func(t *testing.T, binary string)) {
	t.Parallel()
	for name, find := range binaries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, find(t))
		})
	}
}

// inTurn runs a test against one server after the other, and beside no other test. Clusters elect leaders by timeouts, and
// older servers may lose acknowledged messages when they are starved of processor time meanwhile.
func inTurn(t *testing.T, test func(t *testing.T, binary string)) {
	for name, find := range binaries {
		t.Run(name, func(t *testing.T) { test(t, find(t)) })
	}
}

func installed(t testing.TB) string {
	path, err := exec.LookPath("nats-server")
	if err != nil {
		t.Fatalf("the package nats-server is missing: %v", err)
	}
	return path
}

func current(t testing.TB) string {
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// server is a nats-server process with a directory of its own.
type server struct {
	binary string
	dir    string
	port   int
	config string // more of the configuration

	cmd    *exec.Cmd
	ended  chan struct{}
	output *bytes.Buffer
}

// start runs a server until the end of the test.
func start(t testing.TB, binary, config string) *server {
	s := &server{binary: binary, dir: t.TempDir(), port: brokertest.Port(t), config: config}
	s.Start(t)
	t.Cleanup(func() { s.Kill(t) })
	return s
}

func (s *server) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func (s *server) url() string { return "nats://" + s.addr() }

func (s *server) Start(t testing.TB) {
	config := filepath.Join(s.dir, "server.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_mem: 64M, max_file: 4G }\nmax_payload: 4M\n%s\n", s.addr(), filepath.Join(s.dir, "data"), s.config)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.output = new(bytes.Buffer)
	s.cmd = exec.Command(s.binary, "-c", config)
	s.cmd.Stderr = s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended, cmd := make(chan struct{}), s.cmd
	s.ended = ended
	go func() { _ = cmd.Wait(); close(ended) }()
	s.await(t)
}

// await waits until the server talks.
func (s *server) await(t testing.TB) {
	brokertest.Eventually(t, "nats-server", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("nats-server ended: %s", s.output)
		default:
		}
		c, err := net.DialTimeout("tcp", s.addr(), time.Second)
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		var b [4]byte
		_, err = io.ReadFull(c, b[:])
		return err == nil && string(b[:]) == "INFO"
	})
}

func (s *server) Kill(testing.TB) {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

func (s *server) Freeze(t testing.TB) { s.control(t, brokertest.Pause) }
func (s *server) Thaw(t testing.TB)   { s.control(t, brokertest.Resume) }

func (s *server) control(t testing.TB, action func(*os.Process) error) {
	if err := action(s.cmd.Process); err != nil {
		t.Fatal(err)
	}
}

func (s *server) Snapshot(t testing.TB) (restore func()) {
	data, copied := filepath.Join(s.dir, "data"), t.TempDir()
	s.Freeze(t)
	err := os.CopyFS(copied, os.DirFS(data))
	s.Thaw(t)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		s.Kill(t)
		err := os.RemoveAll(data)
		if err == nil {
			err = os.CopyFS(data, os.DirFS(copied))
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Start(t)
	}
}

func (s *server) Empty(t testing.TB) {
	s.Kill(t)
	if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
}

// admin is a client of its own.
func (s *server) admin(t testing.TB) jetstream.JetStream {
	var conn *nats.Conn
	brokertest.Eventually(t, "a connection", func() (ok bool) {
		var err error
		conn, err = nats.Connect(s.url())
		return err == nil
	})
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// stream waits for a stream: JetStream may come up later than the server.
func (s *server) stream(t testing.TB, name string) (stream jetstream.Stream) {
	js := s.admin(t)
	brokertest.Eventually(t, "stream "+name, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		stream, err = js.Stream(ctx, name)
		return err == nil
	})
	return stream
}

// logged is where a test's broker logs to.
type logged struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// open opens a log, until the end of the test.
func open(t testing.TB, hub string, o natsbroker.Options) *natsbroker.Broker {
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	b := natsbroker.Open(hub, o)
	t.Cleanup(func() { _ = b.Close() })
	return b
}
