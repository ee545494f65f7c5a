package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/transport"
)

const limit = 30 * time.Second // how long a test waits for anything

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// tcpPair returns both ends of a TCP connection.
func tcpPair(t *testing.T) (server, client *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// handshake makes a connection of two ends. wrap returns what is accepted; nil for the TCP connection itself.
func handshake(t *testing.T, wrap func(*net.TCPConn) net.Conn, config *tls.Config) (*transport.Conn, *tls.Conn) {
	t.Helper()
	server, tcp := tcpPair(t)
	var accepted net.Conn = server
	if wrap != nil {
		accepted = wrap(server)
	}
	conn, err := transport.Server(accepted, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	if err != nil {
		t.Fatal(err)
	}
	if config == nil {
		config = &tls.Config{}
	}
	config.InsecureSkipVerify = true
	client := tls.Client(tcp, config)
	shaken := make(chan error, 1)
	go func() { shaken <- conn.Handshake(t.Context(), limit) }()
	if err := errors.Join(client.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, client
}

// watcher records what it is told.
type watcher struct {
	readable, writable chan struct{}
	gone               chan error
}

func newWatcher() *watcher {
	return &watcher{make(chan struct{}, 1000), make(chan struct{}, 1000), make(chan error, 1000)}
}

func (w *watcher) Readable()      { w.readable <- struct{}{} }
func (w *watcher) Writable()      { w.writable <- struct{}{} }
func (w *watcher) Gone(err error) { w.gone <- err }

// wait waits for a value of a channel.
func wait[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

// fill writes until the socket is full, and returns how much it wrote.
func fill(t *testing.T, conn *transport.Conn) (n int) { t.Helper(); return write(t, conn, 1) }

// queue writes until the kernel takes nothing more from a client that does not read, and 200,000 bytes are queued. It returns how much
// it wrote.
func queue(t *testing.T, conn *transport.Conn, client *tls.Conn) int {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 16<<10) }); e != nil {
		t.Fatal(e)
	}
	if err := errors.Join(err, client.NetConn().(*net.TCPConn).SetReadBuffer(32<<10)); err != nil {
		t.Fatal(err)
	}
	return write(t, conn, 200_000) // the kernel has room for half of that
}

// write writes until that many bytes are queued, and returns how much it wrote.
func write(t *testing.T, conn *transport.Conn, least int) (n int) {
	t.Helper()
	for conn.Queued() < least {
		m, err := conn.Write(bytes.Repeat([]byte{'x'}, 16<<10))
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	return n
}

// Reads that do not wait return all that has come, wherever a packet ends.
func TestOneByteAPacket(t *testing.T) {
	server, tcp := tcpPair(t)
	conn, err := transport.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := tls.Client(drops{tcp}, &tls.Config{InsecureSkipVerify: true})
	text := bytes.Repeat([]byte("All work and no play. "), 30)
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(text) // the handshake as well
		sent <- errors.Join(err, client.CloseWrite())
	}()
	if err := conn.Handshake(t.Context(), limit); err != nil {
		t.Fatal(err)
	}
	w := newWatcher()
	conn.Watch(w)
	var got []byte
	for buf := make([]byte, 100); ; {
		n, err := conn.TryRead(buf)
		got = append(got, buf[:n]...)
		if errors.Is(err, syscall.EAGAIN) {
			if err := conn.AwaitRead(); err != nil {
				t.Fatal(err)
			}
			wait(t, "something to read", w.readable)
		} else if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, text) {
		t.Errorf("got %q", got)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if len(w.gone)+len(w.writable) > 0 {
		t.Error("told of more than what there is to read")
	}
}

// drops is a connection that sends each byte in a packet of its own.
type drops struct{ net.Conn }

func (d drops) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// Reads that wait and reads that do not follow one another, and a deadline that has passed does no harm.
func TestReadsOfBothKinds(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	buf := make([]byte, 100)
	for i := range 20 {
		if _, err := conn.TryRead(buf); !errors.Is(err, syscall.EAGAIN) {
			t.Fatalf("got %v of nothing", err)
		}
		conn.SetReadDeadline(time.Unix(1, 0))
		if _, err := conn.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		conn.SetReadDeadline(time.Time{})
		read := make(chan string)
		go func() {
			n, err := conn.Read(buf)
			if err != nil {
				t.Error(err)
			}
			read <- string(buf[:n])
		}()
		if _, err := client.Write([]byte{byte('a' + i)}); err != nil {
			t.Fatal(err)
		}
		if got := wait(t, "a byte", read); got != string(rune('a'+i)) {
			t.Fatalf("got %q", got)
		}
	}
}

// A client that does not read makes nothing wait. What was queued arrives once it does.
func TestQueue(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	w := newWatcher()
	conn.Watch(w)
	n := fill(t, conn)
	if _, err := conn.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if len(w.writable) > 0 {
		t.Error("told that there is room, though there is none")
	}
	got := make([]byte, n+len("the end"))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.HasSuffix(got, []byte("xthe end")) {
		t.Errorf("got %q, %v", got[n-1:], err)
	}
	wait(t, "the queue to be empty", w.writable)
	if n := conn.Queued(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

// A connection whose queue would grow too long fails, and so does each write after that.
func TestQueueIsBounded(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	fill(t, conn)
	reads := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		reads <- err
	}()
	most := 0
	var err error
	for range 100 {
		most = max(most, conn.Queued())
		if _, err = conn.Write(make([]byte, 16<<10)); err != nil {
			break
		}
	}
	if err == nil || most > transport.MaxQueue || most < transport.MaxQueue/2 {
		t.Errorf("got %v after %d bytes", err, most)
	}
	if _, again := conn.Write([]byte("x")); again == nil || conn.Drain(0) == nil {
		t.Error("it can be written to after all")
	}
	if wait(t, "the reader to end", reads) == nil {
		t.Error("it can be read from after all")
	}
	conn.Close()
	if _, err := io.Copy(io.Discard, client); err == nil {
		t.Error("the client takes what it got for all there was")
	}
}

// A client may close its side and still be written to.
func TestHalfClose(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	if err := errors.Join(client.CloseWrite(), client.NetConn().(*net.TCPConn).CloseWrite()); err != nil {
		t.Fatal(err)
	}
	w := newWatcher()
	conn.Watch(w)
	for {
		_, err := conn.TryRead(make([]byte, 1))
		if err == io.EOF {
			break
		}
		if !errors.Is(err, syscall.EAGAIN) || conn.AwaitRead() != nil {
			t.Fatal(err)
		}
		wait(t, "the end", w.readable)
	}
	n := fill(t, conn)
	go conn.Finish(limit)
	if got, err := io.ReadAll(client); err != nil || len(got) != n {
		t.Errorf("got %d bytes and %v, want %d", len(got), err, n)
	}
}

// Finish closes a connection whose client takes nothing.
func TestFinishDoesNotWaitForever(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	n := fill(t, conn)
	conn.Finish(time.Millisecond)
	brokertest.Eventually(t, "it is closed", func() bool { return errors.Is(conn.AwaitRead(), net.ErrClosed) })
	if got, err := io.Copy(io.Discard, client); err == nil || got >= int64(n) {
		t.Errorf("got %d bytes of %d, and %v", got, n, err)
	}
}

// The epoll reports once that a client has left, and nothing that it sent before.
func TestHangup(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	w := newWatcher()
	conn.Watch(w)
	if err := conn.AwaitHangup(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := client.Write([]byte("never read")); err != nil {
			t.Fatal(err)
		}
	}
	n := fill(t, conn) // still reported: both are waited for
	if _, err := io.ReadFull(client, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	wait(t, "the queue to be empty", w.writable)
	if len(w.gone)+len(w.readable) > 0 {
		t.Error("told that the client has left, though it has not")
	}
	client.NetConn().Close()
	if wait(t, "the end", w.gone) == nil {
		t.Error("left without a reason")
	}
}

// Drain waits for a client that reads slowly, until its deadline. Then the rest is still queued.
func TestDrain(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	n := queue(t, conn, client)
	queued := conn.Queued()
	conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if err := conn.Drain(0); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if left := conn.Queued(); left == 0 || left > queued {
		t.Errorf("%d bytes are queued, of %d before", left, queued)
	}
	conn.SetWriteDeadline(time.Time{})
	drained := make(chan error, 1)
	go func() { drained <- conn.Drain(0) }()
	var writers sync.WaitGroup
	for range 4 {
		n += 10 * 100
		writers.Go(func() { // held streams write in the meantime
			for range 10 {
				if _, err := conn.Write(bytes.Repeat([]byte{'x'}, 100)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{'x'}, n)) {
		t.Errorf("got %v", err)
	}
	writers.Wait()
	if err := wait(t, "Drain", drained); err != nil {
		t.Error(err)
	}
	brokertest.Eventually(t, "nothing is queued", func() bool { return conn.Queued() == 0 })
}

// A net.Conn for a server waits until all is sent, however much it is.
func TestBlocking(t *testing.T) {
	conn, client := handshake(t, nil, nil)
	text := make([]byte, 5<<20)
	rand.Read(text)
	sent := make(chan error, 1)
	go func() {
		n, err := conn.Blocking().Write(text)
		if n != len(text) {
			t.Errorf("wrote %d bytes", n)
		}
		sent <- err
	}()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, text) {
		t.Errorf("got other bytes, or %v", err)
	}
	if err := wait(t, "the write", sent); err != nil {
		t.Error(err)
	}
	queue(t, conn, client)
	blocked := make(chan error, 1)
	go func() {
		_, err := conn.Blocking().Write([]byte("x"))
		blocked <- err
	}()
	conn.Close()
	if wait(t, "the write to end", blocked) == nil {
		t.Error("written to a closed connection")
	}
}

// Closing ends whatever is under way, at any time, and no byte goes to another connection that gets the descriptor.
func TestCloseAtAnyTime(t *testing.T) {
	for round := range 30 {
		conn, client := handshake(t, nil, nil)
		w := newWatcher()
		conn.Watch(w)
		var doing sync.WaitGroup
		doing.Go(func() {
			_, _ = io.CopyN(io.Discard, client, int64(round)*10_000)
			conn.Close()
			client.Close()
		})
		doing.Go(func() {
			for {
				if _, err := conn.Write(make([]byte, 5000)); err != nil {
					return
				}
				if conn.Queued() > 100_000 && conn.Drain(50_000) != nil {
					return
				}
			}
		})
		doing.Go(func() {
			for {
				if _, err := conn.TryRead(make([]byte, 100)); err != nil && !errors.Is(err, syscall.EAGAIN) {
					return
				}
				if conn.AwaitRead() != nil {
					return
				}
			}
		})
		other, peer := tcpPair(t)
		doing.Go(func() { _, _ = other.Write([]byte("mine")); other.Close() })
		got, err := io.ReadAll(peer)
		if err != nil || string(got) != "mine" {
			t.Fatalf("got %q, %v", got, err)
		}
		doing.Wait()
	}
}

// ahead is a wrapper that has read more than it gave, as that of proxy_protocol may have.
type ahead struct {
	net.Conn
	buffer *bufio.Reader
}

func (a ahead) Read(b []byte) (int, error)    { return a.buffer.Read(b) }
func (a ahead) TCPConn() (*net.TCPConn, bool) { return a.Conn.(*net.TCPConn), true }

// What a wrapper has read ahead is not lost, although later reads go past it.
func TestWrapperReadsAhead(t *testing.T) {
	server, tcp := tcpPair(t)
	buffer := bufio.NewReaderSize(server, 64<<10)
	conn, err := transport.Server(ahead{server, buffer}, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The client's last message of the handshake comes in one packet with its first request.
	joined := &joining{Conn: tcp}
	client := tls.Client(joined, &tls.Config{InsecureSkipVerify: true})
	sent := make(chan error, 1)
	go func() {
		if err := client.Handshake(); err != nil {
			sent <- err
			return
		}
		_, err := client.Write([]byte("early"))
		joined.release()
		sent <- err
	}()
	if err := conn.Handshake(t.Context(), limit); err != nil {
		t.Fatal(err)
	}
	if buffer.Buffered() != 0 {
		t.Error("the wrapper still has bytes")
	}
	buf := make([]byte, 100)
	n, err := conn.TryRead(buf)
	if err != nil || string(buf[:n]) != "early" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if n, err = conn.Read(buf); err != nil || string(buf[:n]) != "late" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

// joining sends its first write at once, and the next ones together when they are released.
type joining struct {
	net.Conn
	writes  int
	pending []byte
	open    bool
}

func (j *joining) Write(b []byte) (int, error) {
	if j.writes++; j.writes == 1 || j.open {
		return j.Conn.Write(b)
	}
	j.pending = append(j.pending, b...)
	return len(b), nil
}

func (j *joining) release() {
	j.open = true
	_, _ = j.Conn.Write(j.pending)
}

func TestHandshakeFails(t *testing.T) {
	for name, talk := range map[string]func(*net.TCPConn){
		"silence":   func(*net.TCPConn) {},
		"plain":     func(c *net.TCPConn) { io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") },
		"hangup":    func(c *net.TCPConn) { c.Close() },
		"truncated": func(c *net.TCPConn) { io.WriteString(c, "\x16\x03\x01\x02\x00\x01"); c.CloseWrite() },
	} {
		server, client := tcpPair(t)
		conn, err := transport.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate()}})
		if err != nil {
			t.Fatal(err)
		}
		talk(client)
		timeout := limit
		if name == "silence" {
			timeout = 10 * time.Millisecond
		}
		err = conn.Handshake(t.Context(), timeout)
		again := conn.TLS().HandshakeContext(context.Background())
		if err == nil || again == nil || err.Error() != again.Error() {
			t.Errorf("%s: got %v, and then %v", name, err, again)
		}
		conn.Close()
	}
}
