package e2e_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// visits are the ways in which a client may come and go.
var visits = map[string]func(conn *net.TCPConn) error{
	"closes":                   func(conn *net.TCPConn) error { return awaitConnected(conn) },
	"closes before the answer": func(*net.TCPConn) error { return nil },
	"resets": func(conn *net.TCPConn) error {
		if err := awaitConnected(conn); err != nil {
			return err
		}
		return conn.SetLinger(0)
	},
	"half closes": func(conn *net.TCPConn) error {
		if err := awaitConnected(conn); err != nil {
			return err
		}
		if err := conn.CloseWrite(); err != nil {
			return err
		}
		_, err := bufio.NewReader(conn).ReadString(0) // to the end, which is Caddy's to bring about
		if err != nil && strings.Contains(err.Error(), "timeout") {
			return fmt.Errorf("half closed, and not hung up on: %w", err)
		}
		return nil
	},
}

func awaitConnected(conn *net.TCPConn) error {
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "id: ") {
			return err
		}
	}
}

func visit(port, user string, stay func(*net.TCPConn) error) error {
	conn, err := net.DialTimeout("tcp4", "127.0.0.1:"+port, harness.Patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET /events?userId=%s&topic=room HTTP/1.1\r\nHost: localhost:%s\r\n\r\n", user, port); err != nil {
		return err
	}
	return stay(conn.(*net.TCPConn))
}

// Of who leaves, nothing is left.
func TestLeaversLeaveNothing(t *testing.T) {
	t.Parallel()
	const rounds, atOnce = 300, 10
	for name, stay := range visits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caddyfile, url := site(t, `
	sse_push /events {
		user query userId
		topics room
		limits {
			per_user off
		}
		internal /_sse {
			allow loopback
		}
	}`)
			caddy := harness.StartCaddy(t, caddyfile)
			_, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
			route := harness.Route{URL: url + "/_sse"}
			come := func(n int) {
				var wg sync.WaitGroup
				errs := make(chan error, atOnce)
				for i := range atOnce {
					wg.Go(func() {
						for range n / atOnce {
							if err := visit(port, fmt.Sprintf("u%d", i), stay); err != nil {
								errs <- err
								return
							}
						}
					})
				}
				wg.Wait()
				close(errs)
				for err := range errs {
					t.Fatal(err)
				}
				harness.EventuallyEqual(t, "connections", 0, func() int { return route.Connections(t, "") })
			}

			come(2 * atOnce) // what Caddy starts when it is first asked is there from now on
			harness.EventuallyEqual(t, "closed by their clients alone", 0, func() int { return harness.CloseWaits(t, port) })
			descriptors, goroutines := caddy.Descriptors(t), caddy.Goroutines(t)
			come(rounds)
			harness.EventuallyEqual(t, "closed by their clients alone", 0, func() int { return harness.CloseWaits(t, port) })
			brokertest.Eventually(t, fmt.Sprintf("no more than %d descriptors", descriptors), func() bool { return caddy.Descriptors(t) <= descriptors })
			brokertest.Eventually(t, fmt.Sprintf("no more than %d goroutines", goroutines), func() bool { return caddy.Goroutines(t) <= goroutines })
			for _, index := range []string{"users", "topics"} {
				harness.EventuallyEqual(t, index, 0, func() int {
					var answer struct{ Total int }
					route.Get(t, "/"+index, &answer)
					return answer.Total
				})
			}
		})
	}
}
