package mercure_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	_ "github.com/sse-push/caddy-sse-push/broker/redisbroker"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// startRedis runs a redis-server, and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	port := strconv.Itoa(brokertest.Port(t))
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--loglevel", "warning")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	brokertest.Eventually(t, "redis-server listens", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "redis://127.0.0.1:" + port
}

// startNode runs a process with a hub on a broker, which tells of subscriptions.
func startNode(t *testing.T, broker string) *sitetest.Process {
	t.Helper()
	return sitetest.StartProcess(t, "sse_push {\ndrain 1s\nbroker "+broker+"\nmercure {"+bothVersions+"\nanonymous\nsubscriptions\n}\n}", "h1", 0, nil)
}

// kill ends a process at once.
func kill(t *testing.T, p *sitetest.Process) {
	t.Helper()
	if err := p.Cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Exited
}

// awaitsEnd waits longer than for other events: until a node without a word counts as gone.
func (w watcher) awaitsEnd(subscriber string) {
	w.T.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		select {
		case e := <-w.Events:
			var u told
			if e.Type == "sse:position" {
				continue
			}
			if err := json.Unmarshal([]byte(e.Data), &u); err != nil || u.Active || u.Subscriber != subscriber {
				w.T.Errorf("got %+v, want the end of %s", e, subscriber)
			}
			return
		case <-timeout:
			w.T.Fatal("waited in vain for an end")
		}
	}
}

// subscriptionsTo returns a query for updates about the subscriptions to a topic, with a token that grants them.
func subscriptionsTo(topic string) (query, token string) {
	pattern := subscriptions + "/:type/" + encode(topic) + "{/:subscriber}?"
	return "match_urlpattern=" + url.QueryEscape(pattern), accessToken(subscriber, "subscribe", claims{"match": pattern, "match_type": "urlpattern"})
}

// Nodes are one hub: a watcher on one of them is told of what begins and ends on another, also if that node is gone without a word, and
// each node lists the subscriptions of all.
func TestSubscriptionsOverNodes(t *testing.T) {
	redis := startRedis(t)
	a, b := startNode(t, "redis "+redis), startNode(t, "redis "+redis)
	early := a.Stream(http.MethodGet, hub+"?match=room", "")
	query, token := subscriptionsTo("room")
	w := watch(t, b.Site, query, token)
	first := w.wants(true, "room") // that was there before the watcher
	beside := watch(t, a.Site, query, token)
	late := a.Stream(http.MethodGet, hub+"?match=room&match=not-watched", "")
	second := w.wants(true, "room")
	here := b.Stream(http.MethodGet, hub+"?match=room", "")
	third := w.wants(true, "room")

	listed := func(s *sitetest.Site) (ids []string) {
		_, u := get(t, s, subscriptions+"/exact/room", token)
		for _, one := range u.Subscriptions {
			ids = append(ids, one.Subscriber)
		}
		return ids
	}
	all := slices.Sorted(slices.Values([]string{first[0], second[0], third[0]}))
	for name, s := range map[string]*sitetest.Site{"a": a.Site, "b": b.Site} {
		brokertest.Eventually(t, name+" lists all", func() bool { return slices.Equal(listed(s), all) })
	}
	one, _ := get(t, b.Site, subscriptions+"/exact/room/"+encode(first[0]), token)
	if one.Status != http.StatusOK {
		t.Errorf("one of another node: got %d", one.Status)
	}

	late.Close()
	if ended := w.wants(false, "room"); !slices.Equal(ended, second) {
		t.Errorf("%s ended, want %s", ended, second)
	}
	here.Close()
	if ended := w.wants(false, "room"); !slices.Equal(ended, third) {
		t.Errorf("%s ended, want %s", ended, third)
	}

	c := startNode(t, "redis "+redis) // so that two may end what the third has left
	last := watch(t, c.Site, query, token)
	kill(t, a)
	early.Close()
	beside.Close()
	w.awaitsEnd(first[0])
	last.awaitsEnd(first[0])
	again := b.Stream(http.MethodGet, hub+"?match=room", "")
	w.wants(true, "room") // no second end comes before
	last.wants(true, "room")
	again.Close()
	b.Terminate()
	last.wants(false, "room")
}

// A process that begins again on its log ends the subscriptions that it had when it failed. Those who come back are told.
func TestSubscriptionsAfterCrash(t *testing.T) {
	p := startNode(t, "file "+t.TempDir())
	query, token := subscriptionsTo("room")
	w := watch(t, p.Site, query, token)
	p.Stream(http.MethodGet, hub+"?match=room", "")
	first := w.wants(true, "room")
	last := w.LastID
	kill(t, p)
	p.Restart()
	again := watch(t, p.Site, query, token, "Last-Event-ID", last)
	if m := again.Next(); m.Type != "sse:gap" {
		t.Errorf("got %+v, want a gap", m)
	}
	if ended := again.wants(false, "room"); !slices.Equal(ended, first) {
		t.Errorf("%s ended, want %s", ended, first)
	}
	if _, u := get(t, p.Site, subscriptions+"/exact/room", token); len(u.Subscriptions) != 0 {
		t.Errorf("the list has %+v", u.Subscriptions)
	}
}
