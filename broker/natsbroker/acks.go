package natsbroker

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// acks passes the answers to publishes to their publishers. The client's own asynchronous publishing does not keep the
// order: it sends a message again by itself after later ones.
type acks struct {
	mu      sync.Mutex // guards all below
	inbox   string
	waiting map[string]waiting // by the last token of the subject to answer to
	last    uint64             // of these tokens
}

type waiting struct {
	group *group
	index int
}

// group is a number of messages that are sent together.
type group struct {
	mu      sync.Mutex // guards all below
	answers []answer
	left    int
	done    chan struct{} // closed when left is 0
}

// answer is the server's answer to a publish.
type answer struct {
	result
	Seq       uint64 `json:"seq"`
	Stream    string `json:"stream"`
	Duplicate bool   `json:"duplicate"`

	came bool
	sent bool
}

// listen subscribes to the answers, once: the client renews the subscription after each loss of the connection.
func (a *acks) listen(conn *nats.Conn) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inbox != "" {
		return nil
	}
	inbox := conn.NewInbox()
	sub, err := conn.Subscribe(inbox+".*", a.take)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	a.inbox = inbox + "."
	return nil
}

func (a *acks) take(m *nats.Msg) {
	var got answer
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		got.Error = &apiError{Code: 503, Description: "no stream listens"}
	} else if err := json.Unmarshal(m.Data, &got); err != nil {
		return
	}
	got.came, got.sent = true, true
	token := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	a.mu.Lock()
	w, ok := a.waiting[token]
	delete(a.waiting, token)
	a.mu.Unlock()
	if !ok {
		return
	}
	w.group.mu.Lock()
	defer w.group.mu.Unlock()
	w.group.answers[w.index] = got
	if w.group.left--; w.group.left == 0 {
		close(w.group.done)
	}
}

// send publishes messages one after the other. It returns the answers that came before ctx was done or the connection was
// lost.
func (b *Broker) send(ctx context.Context, s *session, messages []*nats.Msg) []answer {
	if len(messages) == 0 {
		return nil
	}
	g := &group{answers: make([]answer, len(messages)), left: len(messages), done: make(chan struct{})}
	tokens := make([]string, len(messages))
	a := &b.acks
	a.mu.Lock()
	for i, m := range messages {
		a.last++
		tokens[i] = strconv.FormatUint(a.last, 36)
		a.waiting[tokens[i]] = waiting{g, i}
		m.Reply = a.inbox + tokens[i]
	}
	a.mu.Unlock()
	sent := 0
	for ; sent < len(messages); sent++ {
		if err := s.conn.PublishMsg(messages[sent]); err != nil {
			break
		}
	}
	if sent == len(messages) {
		select {
		case <-g.done:
		case <-s.lost:
		case <-ctx.Done():
		}
	}
	a.mu.Lock()
	for _, token := range tokens {
		delete(a.waiting, token)
	}
	a.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	answers := append([]answer(nil), g.answers...)
	for i := range sent {
		answers[i].sent = true
	}
	return answers
}
