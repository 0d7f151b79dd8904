package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// A model identifier with a colon, as most have, which clients write as %3A.
var model = aws.String("anthropic.claude-test-v1:0")

var question = []byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":64,"messages":[{"role":"user","content":"Say hello."}]}`)

var conversation = []types.Message{{
	Role:    types.ConversationRoleUser,
	Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Say hello."}},
}}

func configuration(ctx context.Context) (aws.Config, error) {
	return config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(1))
}

func runtime(ctx context.Context) (*bedrockruntime.Client, error) {
	settings, err := configuration(ctx)
	return bedrockruntime.NewFromConfig(settings), err
}

func invoke(ctx context.Context) error {
	client, err := runtime(ctx)
	if err != nil {
		return err
	}
	answer, err := client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: model, Body: question})
	if err != nil {
		return err
	}
	var message struct{ Content []struct{ Text string } }
	if err := json.Unmarshal(answer.Body, &message); err != nil {
		return err
	}
	fmt.Println(message.Content[0].Text)
	return nil
}

func invokeStreamed(ctx context.Context) error {
	client, err := runtime(ctx)
	if err != nil {
		return err
	}
	input := &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: model, Body: question}
	answer, err := client.InvokeModelWithResponseStream(ctx, input)
	if err != nil {
		return err
	}
	number := 0
	for event := range answer.GetStream().Events() {
		number++
		fmt.Printf("event %d %s\n", number, event.(*types.ResponseStreamMemberChunk).Value.Bytes)
	}
	return answer.GetStream().Err()
}

func converse(ctx context.Context) error {
	client, err := runtime(ctx)
	if err != nil {
		return err
	}
	answer, err := client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: model, Messages: conversation})
	if err != nil {
		return err
	}
	message := answer.Output.(*types.ConverseOutputMemberMessage).Value
	fmt.Println(message.Content[0].(*types.ContentBlockMemberText).Value)
	return nil
}

func converseStreamed(ctx context.Context) error {
	client, err := runtime(ctx)
	if err != nil {
		return err
	}
	input := &bedrockruntime.ConverseStreamInput{ModelId: model, Messages: conversation}
	answer, err := client.ConverseStream(ctx, input)
	if err != nil {
		return err
	}
	number := 0
	for event := range answer.GetStream().Events() {
		number++
		fmt.Printf("event %d %T\n", number, event)
	}
	return answer.GetStream().Err()
}

// An object name with characters that each signer must encode in the same way.
var object = aws.String("folder/a name+ü.txt")

func putGet(ctx context.Context) error {
	settings, err := configuration(ctx)
	if err != nil {
		return err
	}
	client, bucket := s3.NewFromConfig(settings), aws.String("keyward-test")
	content := bytes.Repeat([]byte("hello "), 1000)
	put := &s3.PutObjectInput{Bucket: bucket, Key: object, Body: bytes.NewReader(content)}
	if _, err := client.PutObject(ctx, put); err != nil {
		return err
	}
	answer, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: object})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, content) {
		return errors.New("what came back is not what was put")
	}
	fmt.Printf("the same %d bytes came back\n", len(got))
	return nil
}

func identity(ctx context.Context) error {
	settings, err := configuration(ctx)
	if err != nil {
		return err
	}
	answer, err := sts.NewFromConfig(settings).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return err
	}
	fmt.Println(*answer.Arn)
	return nil
}
