package natsbroker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	heartbeat   = time.Second
	quietBefore = 3 * heartbeat // a server that sends nothing for so long has forgotten the consumer
	// forgetAfter is how long a server keeps a consumer without a listener.
	forgetAfter = 30 * time.Second
)

// feed is a consumer that the server pushes to with flow control: it sends more only when the earlier messages were taken, so
// that a limited number of messages waits here for a hub that lags.
type feed struct {
	b     *Broker
	s     *session
	sub   *nats.Subscription
	name  string
	empty bool   // the stream held nothing to send when the consumer was made
	last  uint64 // the consumer's own count, which has no gaps

	quiet    *time.Timer
	ctx      context.Context // done when the feed is silent, or the session is lost
	cancel   context.CancelCauseFunc
	finished chan struct{}
}

// message is a message of a feed.
type message struct {
	seq     uint64
	time    time.Time
	subject string
	id      string // by which the server recognises repetitions
	body    []byte
	lost    bool // instead of all that: messages before this one were lost between the server and here
}

// feed makes a consumer that starts at a number.
func (b *Broker) feed(ctx context.Context, s *session, next uint64) (*feed, error) {
	inbox := s.conn.NewInbox()
	sub, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	short, stop := b.within(ctx, callTimeout)
	defer stop()
	info, err := b.consume(short, s, consumerConfig{
		OptStartSeq: next, DeliverSubject: inbox, MaxDeliver: 1, FlowControl: true, IdleHeartbeat: heartbeat,
	})
	if err != nil {
		_ = sub.Unsubscribe()
		return nil, err
	}
	f := &feed{b: b, s: s, sub: sub, name: info.Name, finished: make(chan struct{})}
	f.empty = info.Pending == 0 && info.Delivered.Consumer == 0
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	f.quiet = time.AfterFunc(quietBefore, func() { f.cancel(errAgain) })
	go func() {
		defer close(f.finished)
		select {
		case <-s.lost:
			f.cancel(errAgain)
		case <-f.ctx.Done():
		}
	}()
	return f, nil
}

// close deletes the consumer. If the server cannot be reached, it does that by itself.
func (f *feed) close() {
	f.quiet.Stop()
	f.cancel(nil)
	<-f.finished
	_ = f.sub.Unsubscribe()
	select {
	case <-f.s.lost:
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), heartbeat)
	defer cancel()
	_ = f.s.deleteConsumer(ctx, f.b.names.stream, f.name)
}

// hold and resume enclose a time in which nothing is read from the feed, and in which it does not count as silent.
func (f *feed) hold()   { f.quiet.Stop() }
func (f *feed) resume() { f.quiet.Reset(quietBefore) }

// wait returns the next message, or nil after another sign of life. The error is errAgain or ctx's.
func (f *feed) wait(ctx context.Context) (*message, error) {
	m, err := f.sub.NextMsgWithContext(f.ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, nats.ErrSlowConsumer): // some were dropped, which shows in the count
		return nil, nil
	case err != nil:
		return nil, errAgain
	}
	f.resume()
	return f.read(m), nil
}

// poll returns the next message if it is there already.
func (f *feed) poll() *message {
	for {
		if n, _, err := f.sub.Pending(); err != nil || n == 0 {
			return nil
		}
		m, err := f.sub.NextMsg(time.Millisecond)
		if err != nil {
			return nil
		}
		if got := f.read(m); got != nil {
			return got
		}
	}
}

// read filters out the server's own messages.
func (f *feed) read(m *nats.Msg) *message {
	if len(m.Data) == 0 && m.Header.Get("Status") != "" {
		answer := m.Reply // flow control
		if answer == "" {
			answer = m.Header.Get("Nats-Consumer-Stalled")
		}
		if answer != "" {
			_ = f.s.conn.Publish(answer, nil)
		}
		return nil
	}
	meta, err := m.Metadata()
	if err != nil { // the message is not the consumer's
		return nil
	}
	f.last++
	if meta.Sequence.Consumer != f.last {
		return &message{lost: true}
	}
	return &message{seq: meta.Sequence.Stream, time: meta.Timestamp, subject: m.Subject, id: m.Header.Get(nats.MsgIdHdr), body: m.Data}
}
