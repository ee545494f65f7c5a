// Command modelapi serves a stand-in for the APIs of language models, for examples:
//
//	go run ./cmd/modelapi -listen 127.0.0.1:9100 -tokens 200 -rate 20
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/sse-push/caddy-sse-push/test/modelapi"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9100", "the address to serve at")
	var a modelapi.Answer
	flag.IntVar(&a.Tokens, "tokens", 200, "tokens of an answer")
	flag.Float64Var(&a.Rate, "rate", 20, "tokens a second; 0: as fast as they are read")
	flag.DurationVar(&a.First, "first", 0, "how long to wait before an answer")
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	if err == nil {
		fmt.Printf("The stand-in for a model API: http://%s/v1/chat/completions, /v1/messages, /api/chat, /count\n", listener.Addr())
		err = modelapi.New(a).Serve(listener)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
