package modelapi

import (
	"encoding/json"
	"fmt"
	"time"
)

// format is how an API writes an answer. Each text is written and flushed at once.
type format struct {
	contentType string
	begin       func() string            // before the first token
	token       func(text string) string // also says when it was written: "sent", in Unix nanoseconds
	ping        func() string            // "" if the API sends none
	fail        func() string            // an error within the stream, after which it ends
	end         func(n int) string       // after the last of n tokens
	refuse      func(status int) string  // the body of an error
}

// formats are the APIs, by their paths.
var formats = map[string]format{
	"/v1/chat/completions": openAI,
	"/v1/messages":         anthropic,
	"/api/chat":            ollama,
}

// object is an object of JSON.
type object = map[string]any

// event returns an event of an event stream; name may be empty.
func event(name string, data any) string {
	if name != "" {
		name = "event: " + name + "\n"
	}
	return name + "data: " + encode(data) + "\n\n"
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // no value here does that
	}
	return string(b)
}

// none is a text of an API that sends nothing there.
func none() string { return "" }

func openAIChunk(delta object, finish any) string {
	return event("", object{
		"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": time.Now().Unix(), "model": "stand-in", "sent": time.Now().UnixNano(),
		"choices": []object{{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finish}},
	})
}

// openAI is https://platform.openai.com/docs/api-reference/chat-streaming.
var openAI = format{
	contentType: "text/event-stream; charset=utf-8",
	begin:       func() string { return openAIChunk(object{"role": "assistant", "content": ""}, nil) },
	token:       func(text string) string { return openAIChunk(object{"content": text}, nil) },
	ping:        none,
	fail: func() string {
		return event("", object{"error": object{"message": "The server had an error.", "type": "server_error", "param": nil, "code": nil}})
	},
	end: func(int) string { return openAIChunk(object{}, "stop") + "data: [DONE]\n\n" },
	refuse: func(status int) string {
		if status == 429 {
			return encode(object{"error": object{"message": "Rate limit reached.", "type": "requests", "param": nil, "code": "rate_limit_exceeded"}})
		}
		return encode(object{"error": object{"message": "The server had an error.", "type": "server_error", "param": nil, "code": nil}})
	},
}

func anthropicEvent(name string, more object) string {
	data := object{"type": name}
	for key, value := range more {
		data[key] = value
	}
	return event(name, data)
}

// anthropic is https://docs.anthropic.com/en/api/messages-streaming.
var anthropic = format{
	contentType: "text/event-stream; charset=utf-8",
	begin: func() string {
		return anthropicEvent("message_start", object{"message": object{
			"id": "msg_1", "type": "message", "role": "assistant", "content": []string{}, "model": "stand-in", "stop_reason": nil,
			"stop_sequence": nil, "usage": object{"input_tokens": 1, "output_tokens": 1},
		}}) + anthropicEvent("content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": ""}}) +
			anthropicEvent("ping", nil)
	},
	token: func(text string) string {
		return anthropicEvent("content_block_delta", object{
			"index": 0, "delta": object{"type": "text_delta", "text": text}, "sent": time.Now().UnixNano(),
		})
	},
	ping: func() string { return anthropicEvent("ping", nil) },
	fail: func() string {
		return anthropicEvent("error", object{"error": object{"type": "overloaded_error", "message": "Overloaded"}})
	},
	end: func(n int) string {
		return anthropicEvent("content_block_stop", object{"index": 0}) +
			anthropicEvent("message_delta", object{"delta": object{"stop_reason": "end_turn", "stop_sequence": nil}, "usage": object{"output_tokens": n}}) +
			anthropicEvent("message_stop", nil)
	},
	refuse: func(status int) string {
		kind := "api_error"
		if status == 429 {
			kind = "rate_limit_error"
		}
		return encode(object{"type": "error", "error": object{"type": kind, "message": fmt.Sprintf("Status %d.", status)}})
	},
}

func ollamaLine(text string, more object) string {
	line := object{
		"model": "stand-in", "created_at": time.Now().UTC().Format(time.RFC3339Nano), "message": object{"role": "assistant", "content": text},
		"done": false,
	}
	for key, value := range more {
		line[key] = value
	}
	return encode(line) + "\n"
}

// ollama is https://github.com/ollama/ollama/blob/main/docs/api.md: JSON, a line each.
var ollama = format{
	contentType: "application/x-ndjson",
	begin:       none,
	token:       func(text string) string { return ollamaLine(text, object{"sent": time.Now().UnixNano()}) },
	ping:        none,
	fail: func() string {
		return encode(object{"error": "an error was encountered while running the model"}) + "\n"
	},
	end: func(n int) string {
		return ollamaLine("", object{"done": true, "done_reason": "stop", "eval_count": n})
	},
	refuse: func(status int) string { return encode(object{"error": fmt.Sprintf("status %d", status)}) },
}
