package decode

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/jsontext"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

const maxKey = 255 // bytes

// value is the value of a field in a body of any kind. The texts of its errors read well after "field: ".
type value interface {
	IsNull() bool
	Text() (string, error)
	Texts() ([]string, error) // of a list, or of one string
	Name() (string, error)    // of a user or an event: a text or a whole number
	Names() ([]string, error) // of a list, or of one
	Number() (int64, error)
	Boolean() (bool, error)
	Data() ([]byte, error)
}

// publication builds a record field by field.
type publication struct {
	maxEvent int64
	given    uint32 // the bits of the fields that were set
	rec      broker.Record
	wait     Wait
	json     jsontext.Value // the value that is being set; kept here, since an interface would allocate a copy of it
}

// set sets one field.
func (p *publication) set(of *field, v value) *problem.Problem {
	if p.given&of.bit != 0 {
		return problem.Field(of.name, "is given twice")
	}
	p.given |= of.bit
	var err error
	switch f := of.event; {
	case f != nil && f.Kind == rules.TargetField:
		err = p.target(v, f)
	case f != nil && f.Kind == rules.EveryoneField:
		err = p.broadcast(v)
	case f != nil && f.Kind == rules.DataField:
		return p.setData(v)
	// A form cannot express null: PHP leaves such a field out. So null counts as absent, except for targets, none of which may
	// get lost.
	case v.IsNull():
		return nil
	case f != nil:
		err = p.option(f, v)
	default:
		err = p.setPublish(of.name, v)
	}
	if err != nil {
		return problem.Field(of.name, "%s", err)
	}
	return nil
}

// target sets one kind of targets.
func (p *publication) target(v value, f *rules.Field) error {
	if v.IsNull() {
		return errors.New("must not be null: give a value, or leave the target out")
	}
	if !f.Many {
		name, err := textOf(v, f)
		if err != nil {
			return err
		}
		return f.SetText(&p.rec, name)
	}
	var names []string
	var err error
	if f.Numeric {
		names, err = v.Names()
	} else {
		names, err = v.Texts()
	}
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("must not be an empty list: give a value, or leave the target out")
	}
	p.rec.Targets = slices.Grow(p.rec.Targets, len(names))
	return p.setAll(names, f)
}

// setAll sets a field to the items of a list.
func (p *publication) setAll(texts []string, f *rules.Field) error {
	for i, s := range texts {
		if err := f.SetText(&p.rec, s); err != nil {
			return jsontext.ItemError(i, err)
		}
	}
	return nil
}

// textOf returns a value as text.
func textOf(v value, f *rules.Field) (string, error) {
	if f.Numeric {
		return v.Name()
	}
	return v.Text()
}

func (p *publication) broadcast(v value) error {
	if v.IsNull() {
		return errors.New("must not be null: give a value, or leave the target out")
	}
	yes, err := v.Boolean()
	if yes {
		p.rec.Targets = append(p.rec.Targets, broker.Target{Kind: broker.Broadcast})
	}
	return err
}

func (p *publication) setData(v value) *problem.Problem {
	data, err := v.Data()
	if err != nil {
		return problem.Field("data", "%s", err)
	}
	if int64(len(data)) > p.maxEvent {
		return dataTooLong(p.maxEvent)
	}
	if err := rules.CheckData(data); err != nil {
		return problem.Field("data", "%s", err)
	}
	p.rec.Data = data
	return nil
}

// option sets a field of the event that is neither a target nor the data.
func (p *publication) option(f *rules.Field, v value) error {
	switch f.Kind {
	case rules.NumberField:
		n, err := v.Number()
		if err != nil {
			return err
		}
		return f.SetNumber(&p.rec, n)
	case rules.ExcludeField:
		ids, err := v.Texts()
		if err != nil {
			return err
		}
		return p.setAll(ids, f)
	}
	text, err := textOf(v, f)
	if err != nil {
		return err
	}
	return f.SetText(&p.rec, text)
}

// setPublish sets a field of the publish itself.
func (p *publication) setPublish(name string, v value) error {
	text, err := v.Text()
	switch {
	case err != nil:
		return err
	case name == "idempotency_key":
		p.rec.Key = text
		return checkKey(text)
	}
	return p.wait.set(name, text)
}

// record returns the finished record, with targets and exclusions sorted, so that equal events are equal records.
func (p *publication) record() (broker.Record, *problem.Problem) {
	r := &p.rec
	rules.Tidy(r)
	switch {
	case len(r.Targets) == 0:
		return broker.Record{}, problem.New(http.StatusBadRequest, "no target: give user, topic, connection or broadcast")
	case len(r.Targets) > rules.MaxTargets:
		return broker.Record{}, problem.New(http.StatusBadRequest, "too many targets: at most %d may be given, got %d", rules.MaxTargets, len(r.Targets))
	case len(r.Exclude) > rules.MaxTargets:
		return broker.Record{}, problem.Field("exclude", "must not name more than %d connections", rules.MaxTargets)
	}
	if r.Key != "" {
		r.Digest = digest(r)
	}
	return *r, nil
}

// digest returns a hash that differs between different events under one idempotency key. Each part is hashed after its
// length, so that different events never give the same bytes.
func digest(r *broker.Record) (d [16]byte) {
	var buf [512]byte
	b := buf[:0]
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Targets)))
	for _, t := range r.Targets {
		b = append(b, byte(t.Kind))
		text(t.Name)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Exclude)))
	for _, id := range r.Exclude {
		text(id)
	}
	text(r.Type)
	text(r.ID)
	text(r.Coalesce)
	b = binary.AppendVarint(b, int64(r.Retry))
	b = binary.AppendVarint(b, int64(r.TTL))
	h := sha256.New()
	h.Write(b)
	h.Write(r.Data) // last, so it needs no length
	copy(d[:], h.Sum(buf[:0]))
	return d
}

// checkKey returns what is wrong with an idempotency key, or nil. It may hold what a header can.
func checkKey(s string) error {
	switch {
	case s == "":
		return errors.New("must not be empty")
	case len(s) > maxKey:
		return fmt.Errorf("must not be longer than %d bytes", maxKey)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("must be printable ASCII")
	}
	return nil
}

func dataTooLong(most int64) *problem.Problem {
	return problem.New(http.StatusRequestEntityTooLarge, "data: must not be longer than %d bytes", most).OfField("data")
}
