package main

import (
	"context"
	"fmt"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

var chat = openai.ChatCompletionNewParams{
	Model:    "gpt-test",
	Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Say hello.")},
}

func chatPlain(ctx context.Context) error {
	client := openai.NewClient(option.WithMaxRetries(0))
	answer, err := client.Chat.Completions.New(ctx, chat)
	if err != nil {
		return err
	}
	fmt.Println(answer.Choices[0].Message.Content)
	return nil
}

func chatStreamed(ctx context.Context) error {
	client := openai.NewClient(option.WithMaxRetries(0))
	stream := client.Chat.Completions.NewStreaming(ctx, chat)
	defer stream.Close()
	for number := 1; stream.Next(); number++ {
		fmt.Printf("event %d %s\n", number, stream.Current().Choices[0].Delta.Content)
	}
	return stream.Err()
}

var response = responses.ResponseNewParams{
	Model: "gpt-test",
	Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Say hello.")},
}

func responsesPlain(ctx context.Context) error {
	client := openai.NewClient(option.WithMaxRetries(0))
	answer, err := client.Responses.New(ctx, response)
	if err != nil {
		return err
	}
	fmt.Println(answer.OutputText())
	return nil
}

func responsesStreamed(ctx context.Context) error {
	client := openai.NewClient(option.WithMaxRetries(0))
	stream := client.Responses.NewStreaming(ctx, response)
	defer stream.Close()
	for number := 1; stream.Next(); number++ {
		fmt.Printf("event %d %s\n", number, stream.Current().Type)
	}
	return stream.Err()
}
