package natsbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// JetStream's API consists of requests and answers in JSON (ADR-1 of NATS, and ADR-13 for pulls). This file has the few that are
// needed: nats.go's own client would link everything it can do, key and object stores among it.

const apiPrefix = "$JS.API."

// apiError is a refusal by the server. Two are the same if their error codes are.
type apiError struct {
	Code        int    `json:"code"`
	ErrorCode   int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("nats: API error: code=%d err_code=%d description=%s", e.Code, e.ErrorCode, e.Description)
}

func (e *apiError) Is(target error) bool {
	other, ok := target.(*apiError)
	return ok && e.ErrorCode == other.ErrorCode
}

var (
	errNoMessage           = &apiError{404, 10037, "no message found"}
	errNameInUse           = &apiError{400, 10058, "stream name already in use"}
	errNoStream            = &apiError{404, 10059, "stream not found"}
	errWrongLast           = &apiError{400, 10071, "wrong last sequence"}
	errWrongLastReplicated = &apiError{400, 10164, "wrong last sequence"} // the same, from newer servers, for a stream with replicas

	errNoAnswer = errors.New("nats: the JetStream API's answer lacks what was asked for")
)

// result is the part that all answers have in common.
type result struct {
	Error *apiError `json:"error"`
}

// answered is an answer with a result.
type answered interface{ failure() error }

func (r *result) failure() error {
	if r.Error == nil {
		return nil
	}
	return r.Error
}

// call sends a request and reads the answer.
func (s *session) call(ctx context.Context, subject string, request any, answer answered) error {
	m := nats.NewMsg(apiPrefix + subject)
	if request != nil {
		var err error
		if m.Data, err = json.Marshal(request); err != nil {
			return err
		}
	}
	return s.ask(ctx, m, answer)
}

// ask sends a message and reads the answer.
func (s *session) ask(ctx context.Context, m *nats.Msg, answer answered) error {
	got, err := s.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(got.Data, answer); err != nil {
		return err
	}
	return answer.failure()
}

// streamConfig holds a stream's settings. Those that have no field here stay as they are in an update.
type streamConfig struct {
	Name              string        `json:"name"`
	Description       string        `json:"description"`
	Subjects          []string      `json:"subjects"`
	MaxMsgs           int64         `json:"max_msgs"`
	MaxBytes          int64         `json:"max_bytes"`
	MaxAge            time.Duration `json:"max_age"`
	MaxMsgsPerSubject int64         `json:"max_msgs_per_subject"`
	Replicas          int           `json:"num_replicas"`
	Duplicates        time.Duration `json:"duplicate_window,omitempty"` // 0: the server chooses
	Retention         string        `json:"retention"`
	Storage           string        `json:"storage"`
	Discard           string        `json:"discard"`

	// Read, but never set.
	Mirror      *json.RawMessage  `json:"mirror,omitempty"`
	Sources     []json.RawMessage `json:"sources,omitempty"`
	Sealed      bool              `json:"sealed,omitempty"`
	NoAck       bool              `json:"no_ack,omitempty"`
	AllowRollup bool              `json:"allow_rollup_hdrs,omitempty"`

	all map[string]json.RawMessage // as the server sent them
}

func (c *streamConfig) UnmarshalJSON(b []byte) error {
	type plain streamConfig
	if err := json.Unmarshal(b, (*plain)(c)); err != nil {
		return err
	}
	return json.Unmarshal(b, &c.all)
}

func (c *streamConfig) MarshalJSON() ([]byte, error) {
	type plain streamConfig
	b, err := json.Marshal((*plain)(c))
	if err != nil {
		return nil, err
	}
	all := maps.Clone(c.all)
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// streamInfo is the state of a stream.
type streamInfo struct {
	result
	Config  streamConfig `json:"config"`
	Created time.Time    `json:"created"`
	State   struct {
		FirstSeq   uint64            `json:"first_seq"`
		LastSeq    uint64            `json:"last_seq"`
		NumDeleted int               `json:"num_deleted"`
		Deleted    []uint64          `json:"deleted"`  // if asked for
		Subjects   map[string]uint64 `json:"subjects"` // if asked for, a page of them
	} `json:"state"`
	Total int       `json:"total"` // of the subjects
	Now   time.Time `json:"ts"`    // by the server's clock, from 2.10 on
}

func (s *session) stream(ctx context.Context, verb, name string, request any) (*streamInfo, error) {
	info := new(streamInfo)
	if err := s.call(ctx, "STREAM."+verb+"."+name, request, info); err != nil {
		return nil, err
	}
	if info.Config.Name == "" {
		return nil, errNoAnswer
	}
	return info, nil
}

func (s *session) createStream(ctx context.Context, c *streamConfig) (*streamInfo, error) {
	return s.stream(ctx, "CREATE", c.Name, c)
}

func (s *session) updateStream(ctx context.Context, c *streamConfig) (*streamInfo, error) {
	return s.stream(ctx, "UPDATE", c.Name, c)
}

func (s *session) streamInfo(ctx context.Context, name string) (*streamInfo, error) {
	return s.stream(ctx, "INFO", name, nil)
}

// deleted returns the numbers of messages that were deleted from the middle of a stream.
func (s *session) deleted(ctx context.Context, name string) ([]uint64, error) {
	info, err := s.stream(ctx, "INFO", name, map[string]bool{"deleted_details": true})
	if err != nil {
		return nil, err
	}
	return info.State.Deleted, nil
}

// subjects returns the subjects that match a filter and have messages. The server sends them in pages.
func (s *session) subjects(ctx context.Context, name, filter string) ([]string, error) {
	found := map[string]uint64{}
	for {
		info, err := s.stream(ctx, "INFO", name, map[string]any{"subjects_filter": filter, "offset": len(found)})
		if err != nil {
			return nil, err
		}
		before := len(found)
		maps.Copy(found, info.State.Subjects)
		if len(found) >= info.Total || len(found) == before {
			return slices.Collect(maps.Keys(found)), nil
		}
	}
}

// purge removes the messages of a subject; only those before a number, if that is not 0.
func (s *session) purge(ctx context.Context, stream, subject string, before uint64) error {
	return s.call(ctx, "STREAM.PURGE."+stream, struct {
		Subject string `json:"filter"`
		Before  uint64 `json:"seq,omitempty"`
	}{subject, before}, new(result))
}

// stored is a message as the stream has it.
type stored struct {
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"seq"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

// get reads a message. The error is errNoMessage if there is none. The stream's leader answers: a follower may be behind.
func (s *session) get(ctx context.Context, stream string, request any) (*stored, error) {
	var answer struct {
		result
		Message *stored `json:"message"`
	}
	if err := s.call(ctx, "STREAM.MSG.GET."+stream, request, &answer); err != nil {
		return nil, err
	}
	if answer.Message == nil {
		return nil, errNoAnswer
	}
	return answer.Message, nil
}
