package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// listening is what the clients of a Mercure hub listen to. Each hears one topic, which many may share.
type listening struct {
	name     string
	audience int // clients that hear a topic
	add      func(q url.Values, client, topic int)
}

const mercureAudience = 100

// listenings are the rows of the scenario. What a client has beside its topic matches nothing that is published.
var listenings = []*listening{
	{"a topic each", 1, addName},
	{"by name", mercureAudience, addName},
	{"by patterns that are shared", mercureAudience, func(q url.Values, _, topic int) {
		q.Add("match_urlpattern", "https://x/"+strconv.Itoa(topic)+"/:id")
	}},
	{"10 matchers", mercureAudience, addNames(9)},
	{"200 matchers", mercureAudience, addNames(199)},
	{"a pattern of their own each", mercureAudience, func(q url.Values, client, topic int) {
		addName(q, client, topic)
		q.Add("match_urlpattern", "https://x/:a/z"+strconv.Itoa(client))
	}},
}

func mercureTopic(topic int) string { return "https://x/" + strconv.Itoa(topic) + "/y" }

func addName(q url.Values, _, topic int) { q.Add("match", mercureTopic(topic)) }

func addNames(n int) func(q url.Values, client, topic int) {
	return func(q url.Values, client, topic int) {
		addName(q, client, topic)
		for i := range n {
			q.Add("match", fmt.Sprintf("https://x/n%d/%d", client%500, i))
		}
	}
}

// topics returns how many topics n clients hear.
func (l *listening) topics(n int) int { return max(posters, n/l.audience) }

// query returns what a client of n asks for.
func (l *listening) query(client, n int) url.Values {
	q := url.Values{}
	l.add(q, client, client%l.topics(n))
	return q
}

// path returns the URL's path and query for it.
func (l *listening) path(client, n int) string {
	return mercurePath + "?" + l.query(client, n).Encode()
}

var mercure = scenario{
	name: "mercure",
	title: func(b *bench) string {
		return fmt.Sprintf("Mercure: updates of %d bytes to one topic, of %s clients, by what these listen to", payloadSize, number(b.storm))
	},
	note: fmt.Sprintf("%d publishers, each with one connection and one request at a time. A topic has %d listeners, but for the first row, in which each client\n"+
		"has a topic of its own. CPU is the server's, for the publish and all of its deliveries. Mercure's hub ("+mercureHubVersion+") speaks\n"+
		"version 0.x, in which its clients listen to the same, and keeps no history; sse_push speaks 1.0, and keeps its usual history.", posters, mercureAudience),
	protocols: []protocol{h1},
	servers:   mercureServers(),
	columns: func(*bench) []string {
		return []string{"CPU per publish", "CPU per delivery", "publishes/s", "p50", "p99", "lost", "gaps"}
	},
	measure: measureMercure,
	goal: func(g *goals) {
		if g.row.server.variant == listenings[0].name {
			g.times(0.1, "mercure", 0)
		}
		if g.row.server.variant == listenings[2].name {
			if names, ok := find(g.all, g.row.server.key, listenings[1].name, h1); ok {
				g.multiples(1.3, names, names.cells, 1)
			}
		}
		g.none("none lost, no gap", 5, 6)
	},
}

func mercureServers() (list []*server) {
	for _, l := range listenings {
		own := newMercureHub(l.name, func(b *bench, _ *scenario, client int) string { return l.olderPath(client, b.storm) }, h1)
		list = append(list, newCaddy("sse_push, "+l.name, caddy{mercure: l}, h1), own)
	}
	return list
}

func measureMercure(ctx context.Context, r *session) (row, error) {
	i := slices.IndexFunc(listenings, func(l *listening) bool { return l.name == r.server.variant })
	l, clients := listenings[i], r.storm
	t, s, err := r.ready(ctx, clients)
	if err != nil {
		return row{}, err
	}
	topics := l.topics(clients)
	each := max(r.posts/min(l.audience, 10)/posters, 1)
	sent := make([]uint32, topics)
	m, err := r.meter(ctx, t)
	if err != nil {
		return row{}, err
	}
	if _, err = t.together(ctx, posters, func(ctx context.Context, p *publisher, i int) error {
		// A topic is always the same publisher's, so that the numbers are in order.
		own := (topics - i + posters - 1) / posters
		for k := range each {
			topic := k*stride%own*posters + i
			if err := p.publish(ctx, event{user: topic, seq: sent[topic], publisher: i, size: payloadSize}); err != nil {
				return err
			}
			sent[topic]++
		}
		return nil
	}); err != nil {
		return row{}, err
	}
	answered := now() - m.at
	deliveries := 0
	for topic, n := range sent {
		deliveries += int(n) * ((clients - topic + topics - 1) / topics)
	}
	if err := s.settled(ctx, deliveries); err != nil {
		return row{}, err
	}
	cpu, err := m.spent()
	if err != nil {
		return row{}, err
	}
	sum := s.snapshot()
	return row{cells: []cell{micros(cpu, each*posters, inMicros), micros(cpu, sum.delivered, inFineMicros), rate(each*posters, time.Duration(answered)),
		millis(sum.delays.quantile(0.5)), millis(sum.delays.quantile(0.99)), count(deliveries - sum.delivered), count(sum.gaps)}}, nil
}

const mercurePath = "/.well-known/mercure"

// The keys of the hub. Only its publishers have a token.
const (
	mercurePublisher = "only-for-a-benchmark-on-this-machine-1"
	mercureIssuer    = "only-for-a-benchmark-on-this-machine-2"
)

// mercureToken lets its bearer publish to all topics, in version 0.x.
var mercureToken = func() string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(`{"mercure":{"publish":["*"]}}`))
	mac := hmac.New(sha256.New, []byte(mercurePublisher))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}()

// encodeMercure writes one POST of a form.
func encodeMercure(dst []byte, events []event) ([]byte, int) {
	at := now()
	for _, e := range events {
		body := append([]byte("topic="), url.QueryEscape(mercureTopic(e.user))...)
		body = appendPayload(append(body, "&data="...), e, at)
		kind := "application/x-www-form-urlencoded\r\nAuthorization: Bearer " + mercureToken
		dst = appendPost(dst, "127.0.0.1", mercurePath, kind, body)
	}
	return dst, len(events)
}
