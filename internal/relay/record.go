package relay

import (
	"encoding/json"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// Status is what became of a relay.
type Status string

// A relay that has no end yet is running.
const (
	Running     Status = "running"
	Complete    Status = "complete"
	Cancelled   Status = "cancelled"
	Failed      Status = "failed"
	Interrupted Status = "interrupted" // by the end of the process that ran it
)

// The types of the records beside the events of an upstream. Clients hear only the record of the end.
const (
	typeBegin   = "begin"
	typeAnswer  = "answer"
	typeOutcome = "outcome"
	typeEnd     = hub.EndType
	typeAdopted = "adopted"
	typeDone    = "done"
	typeMark    = "mark"
)

// beside is the prefix of the topics that no client hears. An id holds no slash.
const beside = "relay/"

// begin is the data of a begin record.
type begin struct {
	Node  string `json:"node"`
	User  string `json:"user,omitempty"`
	Topic string `json:"topic,omitempty"`
	Event string `json:"event,omitempty"`
	As    string `json:"as,omitempty"`
	Done  string `json:"done,omitempty"`
}

// outcome is the data of the record before the end, and of the one before the first event, which has status and headers only.
type outcome struct {
	Node     string            `json:"node,omitempty"`     // that calls done
	Status   int               `json:"status,omitempty"`   // of the answer
	Headers  map[string]string `json:"headers,omitempty"`  // of the answer, those that are told on
	Error    string            `json:"error,omitempty"`    // why the relay failed
	Body     string            `json:"body,omitempty"`     // the beginning of an answer that is an error
	Attempts int               `json:"attempts,omitempty"` // how often the request was sent
}

// end is the data of an end record, which clients get.
type end struct {
	Relay  string `json:"relay"`
	Status Status `json:"status"`
	Events uint64 `json:"events"`
	Bytes  uint64 `json:"bytes"` // of the events' data
}

// frame returns the end as clients get it, without an id: it has no place in the log.
func (e end) frame() []byte { return sse.Event{Type: typeEnd, Data: encode(e)}.Append(nil) }

// record returns a record of a relay. key is what follows the relay's own idempotency key; only the first record of a key is
// stored.
func record(topic, id, kind, key string, data any) broker.Record {
	return broker.Record{
		Kind: broker.Event, Targets: []broker.Target{{Kind: broker.Topic, Name: topic}}, Type: kind, Data: encode(data), Key: beside + id + key,
	}
}

func beginRecord(q *call, node string) broker.Record {
	r := record(beside+q.id, q.id, typeBegin, "", begin{node, q.user, q.topic, q.event, q.as, q.done})
	r.Digest = q.digest
	return r
}

func answerRecord(id string, o outcome) broker.Record {
	return record(beside+id, id, typeAnswer, "/answer", o)
}

func endRecords(e end, o outcome) []broker.Record {
	aside := record(beside+e.Relay, e.Relay, typeOutcome, "", o)
	aside.Key = "" // another node may have written one, and then failed to write the end
	return []broker.Record{aside, record(e.Relay, e.Relay, typeEnd, "/end", e)}
}

// relayOf returns the id of the relay that a record belongs to, and whether clients hear the record.
func relayOf(r *broker.Record) (id string, heard bool) {
	if r.Kind != broker.Event || len(r.Targets) != 1 || r.Targets[0].Kind != broker.Topic {
		return "", false
	}
	if id, aside := strings.CutPrefix(r.Targets[0].Name, beside); aside {
		return id, false
	}
	return r.Targets[0].Name, true
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // no value of these types fails
		panic(err)
	}
	return b
}
