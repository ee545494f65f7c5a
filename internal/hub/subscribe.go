package hub

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Subscription is what a client asks for, checked and granted.
type Subscription struct {
	User        string    // "" if there is none
	Topics      []string  // names and patterns
	Matchers    *Matchers // in place of Topics; the connection then has no user, and of what follows no ID, Replay or Opening
	LastEventID string    // the client's last event id; "" for a new client
	OtherIDs    []string  // more such ids: the newest that resolves counts
	Replay      int       // for a new client, how many of the last matching events it gets
	Retry       time.Duration
	Remote      string     // the client's address, for lists
	Address     string     // the key for limits per address; "" if they do not apply
	Protocol    uint8      // major version of HTTP
	Old         bool       // the client used HTTP/1.0
	Attached    Attachment // kept with the connection
	First       []byte     // frames that come before all events
	Opening     *Opening   // nil for the hub's own
	ID          string     // the connection's id if the client has named itself; "" to generate one
	Keeps       int64      // bytes that the caller keeps for the connection: its Attachment, and a request that stays
	Arrived     uint64     // from Hub.Arrived, called before the client was looked up; 0 if that does not matter
}

// Subscribe admits a client, and finds the place that its stream starts from. The error is ErrDenied or a *Refusal, which is
// temporary. The caller must Close the connection.
func (h *Hub) Subscribe(ctx context.Context, sub Subscription) (*Conn, error) {
	id := sub.copyTexts()
	if h.Denied(sub.User) {
		return nil, ErrDenied
	}
	if err := h.main.nodes.lease(ctx); err != nil {
		return nil, err
	}
	if sub.ID != "" {
		if h.replace(sub.ID); sub.Arrived == 0 {
			if err := h.settle(ctx); err != nil { // what is in the log's past does not steer this connection
				return nil, asRefusal(err)
			}
			sub.Arrived = h.Arrived() // from now on another connection may take the id, or topics may be added
		}
	}
	var topics *topics
	if sub.Matchers != nil {
		topics = newMatched(sub.Matchers)
		sub.Keeps += sub.Matchers.Size
	} else {
		topics = h.topicCache.of(slices.Clone(sub.Topics))
	}
	sub.Keeps = min(sub.Keeps, math.MaxInt32)
	kept := h.keep(sub.Keeps, topics.list())
	if !h.memory.take(kept) {
		return nil, &Refusal{Reason: "memory"}
	}
	address := h.admission.key(sub.Address)
	if !h.repertoire.enter(sub.Matchers.patterns(), address) {
		h.memory.kept.Add(-kept)
		return nil, &Refusal{Reason: "patterns"}
	}
	if err := h.admission.enter(sub.User, address); err != nil {
		h.memory.kept.Add(-kept)
		h.repertoire.exit(sub.Matchers.patterns())
		if r := new(Refusal); errors.As(err, &r) && r.Reason == "per_user" {
			return nil, h.Crowded(r.Reason, sub.User)
		}
		return nil, err
	}
	c := &Conn{
		ID: id, User: sub.User, Remote: sub.Remote, Attached: sub.Attached,
		address: address, since: time.Since(h.began), protocol: min(sub.Protocol, 3), matches: sub.Matchers != nil,
		named: sub.ID != "", shard: h.shards[int(h.next.Add(1))%len(h.shards)], topics: topics, own: int32(sub.Keeps),
	}
	if sub.Old {
		c.protocol = 0
	}
	err := h.claim(ctx, c, sub.ID)
	if err == nil {
		err = h.start(ctx, c, sub)
	}
	if err != nil {
		h.unclaim(c)
		h.memory.kept.Add(-c.keeps())
		h.repertoire.exit(sub.Matchers.patterns())
		h.admission.exit(sub.User, address)
		return nil, asRefusal(err)
	}
	c.sent, c.told, c.from = c.cursor, c.cursor, c.cursor
	if len(sub.First) > 0 {
		c.head(sub.First)
	}
	c.shard.add(c, sub.Arrived)
	h.main.nodes.introduce(ctx, c)
	if h.Denied(sub.User) { // it was denied meanwhile
		h.leave(c)
		return nil, ErrDenied
	}
	if sub.LastEventID != "" {
		h.stats.catchups.add("resume")
	} else {
		h.stats.catchups.add("new")
	}
	if h.admission.isClosed() {
		c.End(Draining, 0)
	}
	return c, nil
}

// leave undoes Subscribe.
func (h *Hub) leave(c *Conn) {
	h.unclaim(c)
	if c.matches { // then its topics do not change
		h.repertoire.exit(c.topics.matchers.patterns())
	}
	if c.shard.remove(c) {
		h.admission.exit(c.User, c.address)
	}
	h.main.nodes.dismiss(c.User, c.reported())
}

// start sets the place that a connection starts from, and the first frames of its stream.
func (h *Hub) start(ctx context.Context, c *Conn, sub Subscription) error {
	if err := h.settle(ctx); err != nil {
		return err
	}
	if h.accompanies() { // the denied users are known once the main hub's log has been read
		if err := h.main.settle(ctx); err != nil {
			return err
		}
	}
	h.rejoin(ctx, c, sub.Topics, broker.Position{})
	switch {
	case sub.LastEventID == "":
	case sub.Matchers != nil:
		return h.resumeMatched(ctx, c, sub)
	default:
		return h.resume(ctx, c, sub)
	}
	if sub.Opening != nil {
		return h.open(ctx, c, sub, "", broker.Position{})
	}
	seq, from := h.window.last(c.interest(), sub.Replay)
	c.goOn(seq, from)
	c.head(c.connected(from.String(), sub.Retry))
	return nil
}

// copyTexts replaces the strings of the client by copies, as the caller's would keep the request in memory, and returns the id of the
// connection. The copies are one piece of memory: three small ones, among the garbage of requests, would take more.
func (sub *Subscription) copyTexts() (id string) {
	var buf [128]byte
	text := append(buf[:0], sub.ID...)
	if sub.ID == "" {
		text = appendID(text)
	}
	user := len(text)
	text = append(text, sub.User...)
	remote := len(text)
	all := string(append(text, sub.Remote...))
	id, sub.User, sub.Remote = all[:user], all[user:remote], all[remote:]
	if sub.ID != "" {
		sub.ID = id
	}
	return id
}

// appendID appends 128 random bits as 22 characters.
func appendID(dst []byte) []byte {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.AppendEncode(dst, b[:])
}
