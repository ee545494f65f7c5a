package redisbroker

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fake is a server whose answers a test writes itself.
type fake struct {
	addr string
	stop func()
}

// newFake starts one. What answer returns for a command, such as "EXISTS k", is sent as it is; after "", the connection is
// closed.
func newFake(t *testing.T, answer func(command string) string) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]struct{}{}
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = struct{}{}
			mu.Unlock()
			work.Go(func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					command, err := readCommand(r)
					if err != nil {
						return
					}
					out := answer(command)
					if out == "" {
						return
					}
					io.WriteString(c, out)
				}
			})
		}
	})
	f := &fake{addr: l.Addr().String(), stop: func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		work.Wait()
	}}
	t.Cleanup(f.stop)
	return f
}

func readCommand(r *bufio.Reader) (string, error) {
	length := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := length()
	words := make([]string, n)
	for i := range words {
		size, err := length()
		if err != nil {
			return "", err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(r, word); err != nil {
			return "", err
		}
		words[i] = string(word[:size])
	}
	return strings.Join(words, " "), err
}

// linkTo returns a link to servers.
func linkTo(t *testing.T, e engine) *link {
	t.Helper()
	e.network, e.probe = "tcp", "k"
	l := newLink(e)
	t.Cleanup(l.close)
	return l
}
