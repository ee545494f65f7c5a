package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// pullTimeout is how long a server may be silent in the middle of a pull.
const pullTimeout = time.Second

var errSilent = errors.New("nats: the server does not answer a pull")

// consumerConfig configures a consumer that needs no acknowledgements and is kept in memory.
type consumerConfig struct {
	DeliverPolicy     string        `json:"deliver_policy"`
	OptStartSeq       uint64        `json:"opt_start_seq"`
	AckPolicy         string        `json:"ack_policy"`
	ReplayPolicy      string        `json:"replay_policy"`
	InactiveThreshold time.Duration `json:"inactive_threshold"`
	MemoryStorage     bool          `json:"mem_storage"`
	Replicas          int           `json:"num_replicas"`

	// For a consumer that the server pushes to.
	DeliverSubject string        `json:"deliver_subject,omitempty"`
	MaxDeliver     int           `json:"max_deliver,omitempty"`
	FlowControl    bool          `json:"flow_control,omitempty"`
	IdleHeartbeat  time.Duration `json:"idle_heartbeat,omitempty"`
}

type consumerInfo struct {
	result
	Name      string    `json:"name"`
	Created   time.Time `json:"created"` // by the server's clock
	Pending   uint64    `json:"num_pending"`
	Delivered struct {
		Consumer uint64 `json:"consumer_seq"`
	} `json:"delivered"`
}

// consume makes a consumer of the stream from a number on.
func (b *Broker) consume(ctx context.Context, s *session, c consumerConfig) (*consumerInfo, error) {
	c.DeliverPolicy, c.AckPolicy, c.ReplayPolicy = "by_start_sequence", "none", "instant"
	c.InactiveThreshold, c.MemoryStorage, c.Replicas = forgetAfter, true, 1
	info, sent := new(consumerInfo), time.Now()
	err := s.call(ctx, "CONSUMER.CREATE."+b.names.stream+"."+nuid.Next(), map[string]any{"stream_name": b.names.stream, "config": c, "action": "create"}, info)
	if err == nil && info.Name == "" {
		err = errNoAnswer
	}
	if err != nil {
		return nil, err
	}
	b.sawTime(sent, info.Created)
	return info, nil
}

// sawTime takes the server's time from an answer, if it has one.
func (b *Broker) sawTime(sent, server time.Time) {
	if !server.IsZero() {
		b.clock.Observe(sent, server)
	}
}

func (s *session) deleteConsumer(ctx context.Context, stream, consumer string) error {
	return s.call(ctx, "CONSUMER.DELETE."+stream+"."+consumer, nil, new(result))
}

// pull returns the next messages that are there, up to limit. With an error, it returns those that came before it.
func (s *session) pull(ctx context.Context, stream, consumer string, limit int) (messages []*nats.Msg, err error) {
	inbox, came := s.conn.NewInbox(), make(chan *nats.Msg, limit+1) // the last one may be the notice that there are no more
	sub, err := s.conn.ChanSubscribe(inbox, came)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	request := fmt.Appendf(nil, `{"batch":%d,"no_wait":true}`, limit)
	if err := s.conn.PublishRequest(apiPrefix+"CONSUMER.MSG.NEXT."+stream+"."+consumer, inbox, request); err != nil {
		return nil, err
	}
	for len(messages) < limit {
		select {
		case m := <-came:
			switch status := m.Header.Get("Status"); {
			case status == "" || len(m.Data) > 0:
				messages = append(messages, m)
			case status == "404" || status == "408": // there are no more
				return messages, nil
			case status != "100":
				return messages, fmt.Errorf("nats: status %s %s", status, m.Header.Get("Description"))
			}
		case <-time.After(pullTimeout): // it is not known whether there are more
			return messages, errSilent
		case <-ctx.Done():
			return messages, ctx.Err()
		}
	}
	return messages, nil
}
