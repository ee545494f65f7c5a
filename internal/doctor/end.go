package doctor

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// farewell returns why the hub has ended the stream, as the last event says, or "" if the stream is open or was cut.
func (r *record) farewell() string {
	if !r.finished() || len(r.messages) == 0 {
		return ""
	}
	switch last := r.messages[len(r.messages)-1]; last.Type {
	case "sse:closing":
		var said struct{ Reason string }
		_ = json.Unmarshal([]byte(last.Data), &said) // the event says enough
		return "the hub ended it (" + said.Reason + ")"
	case "sse:superseded":
		return "a newer stream of the same client has replaced it"
	case "sse:end":
		return "its relay has ended"
	}
	return ""
}

// farewell returns why the hub has ended a stream. If that cannot be read, another stream tells.
func (e *examination) farewell(r *record) string {
	if !r.opaque {
		return r.farewell()
	}
	for _, s := range e.all() {
		if why := s.look().farewell(); why != "" {
			return why
		}
	}
	return ""
}

// judgeEnd adds what was found on a stream that the other side has ended.
func (e *examination) judgeEnd(s *stream, r *record) {
	why := e.farewell(r)
	silent := !e.idleFrom.IsZero() && r.silentAtEnd()
	switch {
	case why != "":
		e.leaveOut("whether %s is cut: after %s %s", s.name, short(r.age()), why)
	case !silent:
		e.find("cut", s.name, "the stream ended %s after it began, and was not idle (%s)", short(r.age()), ending(r.err))
	case r.fate == limited:
		e.find("cut", s.name, "the stream ended %s after it began, and so did one with an event each second (%s)", short(r.age()), ending(r.err))
	case r.fate == silenced:
		e.find("idle-cut", s.name, "the stream was cut after %s of silence (%s)", short(r.ended.Sub(r.last)), ending(r.err))
	default:
		e.find("idle-cut", s.name, "the stream was cut after %s of silence, or by a limit of the whole answer of %s: no stream that was kept busy tells (%s)",
			short(r.ended.Sub(r.last)), short(r.age()), ending(r.err))
	}
}

// silentAtEnd reports whether a stream ended after some silence, without a heartbeat since its last event.
func (r *record) silentAtEnd() bool {
	quiet := r.quietSince(r.asked)
	beat := slices.ContainsFunc(r.heartbeats, func(at time.Time) bool { return at.After(quiet) })
	return !beat && r.ended.Sub(r.last) > time.Second
}

// ending describes how a stream ended.
func ending(err error) string {
	if err == nil {
		return "an orderly end"
	}
	text := unwrapURL(err).Error()
	if strings.Contains(text, "stream error") {
		return "the HTTP/2 stream was reset"
	}
	return text
}
