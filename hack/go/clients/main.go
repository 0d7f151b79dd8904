// The Go SDKs, and net/http by itself, as an agent uses them: no word of a proxy, a CA or a key but what the environment says.
//
// usage: go-clients CLIENT MODE
//
//	anthropic | openai-chat | openai-responses    plain | streamed
//	bedrock                                       invoke | invoke-streamed | converse | converse-streamed
//	net-http                                      plain
//	s3                                            put-get
//	sts                                           identity
//
// Prints the text of the answer; streamed, one line an event, written out at once.
package main

import (
	"context"
	"fmt"
	"os"
)

// Each client's modes; a mode prints what it was answered.
var clients = map[string]map[string]func(context.Context) error{
	"anthropic":        {"plain": anthropicPlain, "streamed": anthropicStreamed},
	"openai-chat":      {"plain": chatPlain, "streamed": chatStreamed},
	"openai-responses": {"plain": responsesPlain, "streamed": responsesStreamed},
	"bedrock": {
		"invoke": invoke, "invoke-streamed": invokeStreamed,
		"converse": converse, "converse-streamed": converseStreamed,
	},
	"net-http": {"plain": netHTTPPlain},
	"s3":       {"put-get": putGet},
	"sts":      {"identity": identity},
}

func main() {
	if len(os.Args) != 3 || clients[os.Args[1]][os.Args[2]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go-clients CLIENT MODE")
		os.Exit(2)
	}
	if err := clients[os.Args[1]][os.Args[2]](context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
