package stream

import (
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
	"testing"
	"testing/synctest"
	"time"
)

// once is a source with one frame. It records why its stream was closed.
type once struct {
	Source
	mu     sync.Mutex
	frame  []byte
	closed chan error
}

func (o *once) Next(frames [][]byte, _ int64) ([][]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.frame != nil {
		frames, o.frame = append(frames, o.frame), nil
	}
	return frames, nil
}

func (o *once) Ended() bool                    { return false }
func (o *once) OnWake(interface{ Wake(bool) }) {}

func (o *once) Close(reason error) { o.closed <- reason }

// crew is workers, a loop that their connections belong to, and a certificate.
type crew struct {
	*workers
	t    *testing.T
	loop *loop
	cert tls.Certificate
	room int // a descriptor that always has room
}

func newCrew(t *testing.T, shared, most int) *crew {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	c := &crew{workers: newWorkers(shared, most), t: t, cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, room: int(null.Fd())}
	c.loop = &loop{poller: &poller{workers: c.workers}, wake: make(chan struct{}, 1), wheel: wheel{start: time.Now()}}
	return c
}

// connect returns a connection with a frame to write, and its client's end, which has read nothing of it.
func (c *crew) connect() (*held, *tls.Conn) {
	c.t.Helper()
	a, b := net.Pipe()
	server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{c.cert}, SessionTicketsDisabled: true})
	client := tls.Client(b, &tls.Config{InsecureSkipVerify: true})
	shaken := make(chan error, 1)
	go func() { shaken <- client.Handshake() }()
	if err := errors.Join(server.Handshake(), <-shaken); err != nil {
		c.t.Fatal(err)
	}
	src := &once{frame: []byte("hello"), closed: make(chan error, 1)}
	return &held{
		pipe: pipe{src: src, fd: int32(c.room), via: &via{secured: secured{Conn: server}}},
		loop: c.loop, timing: NewTiming(time.Hour, time.Minute), due: 1, busy: true,
	}, client
}

// results returns what has come back from workers since the last call.
func (c *crew) results() (list []returned) {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	list, c.loop.results = c.loop.results, nil
	return list
}

// A stuck write occupies a shared worker for 50 ms. If too many are stuck, the one that is stuck longest is closed.
func TestStuckWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shared, most = 2, 3
		c := newCrew(t, shared, most)
		var all []*held
		var clients []*tls.Conn
		for range most + shared - 1 {
			s, client := c.connect()
			all, clients = append(all, s), append(clients, client)
			c.put(s)
			time.Sleep(time.Millisecond)
		}
		begun := time.Now()
		quick, reader := c.connect()
		go io.ReadFull(reader, make([]byte, 5))
		c.put(quick)
		for len(c.results()) == 0 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(begun); took > 3*stuckAfter {
			t.Errorf("a client that reads waited %s for those that do not", took)
		}

		// In their next turn, connections that were stuck do not get a shared worker.
		go io.ReadFull(clients[1], make([]byte, 5))
		synctest.Wait()
		if list := c.results(); len(list) != 1 || list[0].held != all[1] || list[0].result.state != more {
			t.Fatalf("got %+v", list)
		}
		all[1].src.(*once).frame = []byte("hello")
		c.put(all[1])
		synctest.Wait()
		c.mu.Lock()
		stuck, count := c.stuck.Len(), c.count
		c.mu.Unlock()
		if stuck != most || count > shared {
			t.Errorf("%d are stuck, and there are %d shared workers", stuck, count)
		}

		// One more than may be stuck.
		var more []*held
		for range shared + 1 {
			s, _ := c.connect()
			more = append(more, s)
			c.put(s)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		list := c.results()
		if len(list) == 0 || list[0].held != all[0] || list[0].result.state != failed || !errors.Is(list[0].result.err, os.ErrDeadlineExceeded) {
			t.Errorf("got %+v, want that the one stuck longest has failed", list)
		}
		for _, s := range append(all, more...) {
			s.hurry()
		}
		time.Sleep(2*restAfter + time.Millisecond) // until the workers have ended
		synctest.Wait()
	})
}

// Workers with nothing to write end, and new ones start when there is something.
func TestWorkersRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 2, 1)
		count := func() int {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.count
		}
		for range 3 {
			for range 3 {
				s, client := c.connect()
				go io.Copy(io.Discard, client)
				c.put(s)
				time.Sleep(restAfter / 2)
				if count() == 0 {
					t.Fatal("the workers have ended between two writes")
				}
				if list := c.results(); len(list) != 1 {
					t.Fatalf("got %+v", list)
				}
				client.NetConn().Close()
			}
			time.Sleep(2*restAfter + time.Millisecond)
			synctest.Wait()
			if n := count(); n != 0 {
				t.Fatalf("%d workers are left", n)
			}
		}
	})
}

// A write's time begins when a worker begins it. A write that waits for a worker is not given up.
func TestQueueIsNoSilence(t *testing.T) {
	c := newCrew(t, 0, 0)
	s, client := c.connect()
	t.Cleanup(func() { client.NetConn().Close() })
	go io.Copy(io.Discard, client)
	l := c.loop
	pass := func(d time.Duration) {
		for ; d > 0; d -= time.Second {
			l.start = l.start.Add(-time.Second)
			l.turn(l.look)
		}
	}
	deadline := func() bool {
		_, err := s.via.Conn.Write([]byte("x"))
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
	l.turn(l.look)
	s.wrote = l.now
	l.schedule(s)
	pass(10 * time.Minute) // in the queue
	s.via.writes.Add(1)
	pass(50 * time.Second)
	if s.via.writes.Load() != 1 || l.now-s.wrote > ticks(time.Minute) {
		t.Error("given up before its time")
	}
	pass(30 * time.Second)
	if !deadline() {
		t.Error("not given up")
	}
}
