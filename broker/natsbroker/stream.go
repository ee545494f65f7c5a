package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// defaultMaxEvents limits a new stream if no option does.
const defaultMaxEvents = 1_000_000

// look returns the state of the stream, and its life. It makes the stream if there is none.
func (b *Broker) look(ctx context.Context, s *session) (*life, *streamInfo, error) {
	ctx, cancel := b.within(ctx, callTimeout)
	defer cancel()
	info, err := b.info(ctx, s)
	if err != nil {
		return nil, nil, unavailable(fmt.Sprintf("looking at stream %q", b.names.stream), err)
	}
	l, err := b.lifeOf(ctx, s, info)
	if err != nil {
		return nil, nil, unavailable(fmt.Sprintf("reading the marks of stream %q", b.names.stream), err)
	}
	return l, info, nil
}

func (b *Broker) info(ctx context.Context, s *session) (*streamInfo, error) {
	sent := time.Now()
	info, err := s.streamInfo(ctx, b.names.stream)
	if err == nil {
		b.sawTime(sent, info.Now)
	}
	if errors.Is(err, errNoStream) {
		info, err = s.createStream(ctx, b.config())
		if errors.Is(err, errNameInUse) { // another node was faster, with other settings
			info, err = s.streamInfo(ctx, b.names.stream)
		}
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checked {
		return info, nil
	}
	info, err = b.reconcile(ctx, s, info)
	s.checked = err == nil
	return info, err
}

// config returns the configuration of a new stream.
func (b *Broker) config() *streamConfig {
	c := &streamConfig{
		Name: b.names.stream, Subjects: []string{b.names.events, b.names.marks}, Description: description(broker.NewEpoch(), nil),
		Retention: "limits", Storage: "file", Discard: "old",
		MaxMsgs: -1, MaxBytes: -1, Replicas: 1,
	}
	b.bound(c)
	if b.options.MaxEvents == 0 && b.options.MaxBytes == 0 && b.options.MaxAge == 0 {
		c.MaxMsgs = defaultMaxEvents
	}
	return c
}

// bound sets the limits that the options ask for, and leaves the other settings as they are.
func (b *Broker) bound(c *streamConfig) {
	o := &b.options
	if o.MaxEvents > 0 {
		c.MaxMsgs = o.MaxEvents
	}
	if o.MaxBytes > 0 {
		c.MaxBytes = o.MaxBytes
	}
	if o.MaxAge > 0 {
		c.MaxAge = o.MaxAge
	}
	if o.Replicas > 0 {
		c.Replicas = o.Replicas
	}
	c.Duplicates = max(c.Duplicates, KeyWindow)
	if c.MaxAge > 0 { // the server demands that
		c.Duplicates = min(c.Duplicates, c.MaxAge)
	}
}

// reconcile gives an existing stream the settings that the options ask for, and refuses a stream that cannot be used.
func (b *Broker) reconcile(ctx context.Context, s *session, info *streamInfo) (*streamInfo, error) {
	c := info.Config
	switch {
	case c.Retention != "limits":
		return nil, fmt.Errorf("its retention is %s and must be limits", c.Retention)
	case c.Mirror != nil || len(c.Sources) > 0:
		return nil, errors.New("it mirrors another stream")
	case c.Sealed:
		return nil, errors.New("it is sealed")
	case c.NoAck:
		return nil, errors.New("no_ack is set: publishes would never be acknowledged")
	case c.MaxMsgsPerSubject > 0:
		return nil, errors.New("max_msgs_per_subject is set; limit it by max_msgs instead")
	case c.AllowRollup:
		return nil, errors.New("allow_rollup_hdrs is set: a message could remove others")
	}
	b.bound(&c)
	needed := false
	for _, subject := range b.config().Subjects {
		if !slices.Contains(c.Subjects, subject) {
			c.Subjects = append(slices.Clone(c.Subjects), subject)
			needed = true
		}
	}
	if base, _ := noted(c.Description); base == 0 {
		c.Description = description(baseEpoch(b.names.stream, info.Created), nil)
	}
	old := &info.Config
	if !needed && c.Description == old.Description && c.MaxMsgs == old.MaxMsgs && c.MaxBytes == old.MaxBytes && c.MaxAge == old.MaxAge &&
		c.Replicas == old.Replicas && c.Duplicates == old.Duplicates {
		return info, nil
	}
	updated, err := s.updateStream(ctx, &c)
	if err == nil {
		return updated, nil
	}
	err = fmt.Errorf("setting subjects %q, max_msgs %d, max_bytes %d, max_age %s, replicas %d, duplicate_window %s; they are %q, %d, %d, %s, %d, %s: %w",
		c.Subjects, c.MaxMsgs, c.MaxBytes, c.MaxAge, c.Replicas, c.Duplicates,
		old.Subjects, old.MaxMsgs, old.MaxBytes, old.MaxAge, old.Replicas, old.Duplicates, err)
	var api *apiError
	if needed || !errors.As(err, &api) { // a refusal is final, and other limits can be tolerated
		return nil, err
	}
	b.logger.Warn("the stream keeps settings other than those asked for", "stream", b.names.stream, "error", err)
	return info, nil
}

// message reads one message by its number. It returns nil and no error if there is none.
func (b *Broker) message(ctx context.Context, s *session, stream string, seq uint64) (*stored, error) {
	return b.get(ctx, s, stream, map[string]any{"seq": seq})
}

// newest reads the last message of a subject. It returns nil and no error if there is none.
func (b *Broker) newest(ctx context.Context, s *session, stream, subject string) (*stored, error) {
	return b.get(ctx, s, stream, map[string]any{"last_by_subj": subject})
}

// from reads the first message from a number on. It returns nil and no error if there is none.
func (b *Broker) from(ctx context.Context, s *session, stream string, seq uint64) (*stored, error) {
	return b.get(ctx, s, stream, map[string]any{"seq": seq, "next_by_subj": ">"})
}

func (b *Broker) get(ctx context.Context, s *session, stream string, request any) (*stored, error) {
	ctx, cancel := b.within(ctx, callTimeout)
	defer cancel()
	m, err := s.get(ctx, stream, request)
	if errors.Is(err, errNoMessage) {
		return nil, nil
	}
	return m, err
}
