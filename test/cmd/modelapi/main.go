// Command modelapi serves a stand-in for the APIs of language models, for examples:
//
//	go run ./cmd/modelapi -listen 127.0.0.1:9100 -rate 12
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/sse-push/caddy-sse-push/test/modelapi"
)

// answer is what it says to every question.
const answer = `I am a stand-in for a model, and give this answer to every question. The app has told Caddy what to ask me, with one ` +
	`short POST. Caddy reads my words as they come, keeps them, and gives them to each page that may hear them. Reload this page now, or ` +
	`open it in a second tab: the answer is there from its first word, and goes on. Close all tabs, and I finish all the same. Then Caddy ` +
	`tells the app, if the app has asked for that. A model that is real is paid by the word, so Stop ends the request to it as well.`

func main() {
	listen := flag.String("listen", "127.0.0.1:9100", "the address to serve at")
	a := modelapi.Answer{Words: strings.Fields(answer)}
	flag.IntVar(&a.Tokens, "tokens", len(a.Words), "tokens of an answer")
	flag.Float64Var(&a.Rate, "rate", 12, "tokens a second; 0: as fast as they are read")
	flag.DurationVar(&a.First, "first", 0, "how long to wait before an answer")
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	if err == nil {
		fmt.Printf("The stand-in for a model API: http://%s/v1/chat/completions, /v1/messages, /api/chat, /count, /clock\n", listener.Addr())
		err = modelapi.New(a).Serve(listener)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
