package main

import (
	"context"
	"fmt"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"
)

var message = anthropic.MessageNewParams{
	Model:     "claude-test",
	MaxTokens: 64,
	Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Say hello."))},
}

func anthropicPlain(ctx context.Context) error {
	client := anthropic.NewClient(option.WithMaxRetries(0))
	answer, err := client.Messages.New(ctx, message)
	if err != nil {
		return err
	}
	fmt.Println(answer.Content[0].Text)
	return nil
}

func anthropicStreamed(ctx context.Context) error {
	client := anthropic.NewClient(option.WithMaxRetries(0))
	stream := client.Messages.NewStreaming(ctx, message)
	defer stream.Close()
	for number := 1; stream.Next(); number++ {
		fmt.Printf("event %d %s\n", number, stream.Current().Type)
	}
	return stream.Err()
}
