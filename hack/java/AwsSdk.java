// The AWS SDK for Java as an agent uses it: no word of a proxy, a CA, a region or a key but what the environment says.
//
// usage: java AwsSdk SERVICE MODE
//   s3       put-get | put-get-async
//   sts      identity
//   bedrock  invoke | invoke-streamed | converse | converse-streamed
// Prints what it was answered; streamed, one line an event, written out at once.

import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicInteger;
import software.amazon.awssdk.awscore.client.builder.AwsClientBuilder;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.awscore.retry.AwsRetryStrategy;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.async.SdkPublisher;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeAsyncClient;
import software.amazon.awssdk.services.bedrockruntime.BedrockRuntimeClient;
import software.amazon.awssdk.services.bedrockruntime.model.ContentBlock;
import software.amazon.awssdk.services.bedrockruntime.model.ConversationRole;
import software.amazon.awssdk.services.bedrockruntime.model.ConverseStreamResponseHandler;
import software.amazon.awssdk.services.bedrockruntime.model.InvokeModelWithResponseStreamResponseHandler;
import software.amazon.awssdk.services.bedrockruntime.model.Message;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.sts.StsClient;

public class AwsSdk {
    // As most have, with a colon, which clients write as %3A.
    private static final String MODEL = "anthropic.claude-test-v1:0";
    private static final SdkBytes QUESTION = SdkBytes.fromUtf8String(
        "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":64,"
            + "\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}");
    private static final Message CONVERSATION =
        Message.builder().role(ConversationRole.USER).content(ContentBlock.fromText("Say hello.")).build();
    private static final String BUCKET = "keyward-test";
    // Characters that each signer must encode in the same way.
    private static final String NAME = "folder/a name+ü.txt";
    private static final byte[] CONTENT = "hello ".repeat(1000).getBytes();

    private static final Map<String, Callable<?>> MODES = Map.of(
        "s3 put-get", AwsSdk::putGet,
        "s3 put-get-async", AwsSdk::putGetAsync,
        "sts identity", () -> print(client(StsClient.builder()).getCallerIdentity().arn()),
        "bedrock invoke", AwsSdk::invoke,
        "bedrock invoke-streamed", AwsSdk::invokeStreamed,
        "bedrock converse", AwsSdk::converse,
        "bedrock converse-streamed", AwsSdk::converseStreamed);

    public static void main(String[] arguments) throws Exception {
        try {
            MODES.get(String.join(" ", arguments)).call();
        } catch (AwsServiceException | CompletionException error) {
            Throwable cause = error instanceof CompletionException ? error.getCause() : error;
            // Its message does not name the error.
            if (!(cause instanceof AwsServiceException answer)) throw error;
            System.err.println(answer.awsErrorDetails().errorCode() + ": " + answer.getMessage());
            System.exit(1);
        }
        // The threads of asynchronous clients would keep it.
        System.exit(0);
    }

    private static <B extends AwsClientBuilder<B, C>, C> C client(B builder) {
        return builder.overrideConfiguration(of -> of.retryStrategy(AwsRetryStrategy.doNotRetry())).build();
    }

    private static Object print(String text) {
        System.out.println(text);
        return null;
    }

    private static Object same(byte[] got) {
        if (!Arrays.equals(got, CONTENT)) throw new IllegalStateException("what came back is not what was put");
        return print("the same " + got.length + " bytes came back");
    }

    private static PutObjectRequest put() {
        return PutObjectRequest.builder().bucket(BUCKET).key(NAME).metadata(Map.of("made-by", "a test")).build();
    }

    private static GetObjectRequest get() {
        return GetObjectRequest.builder().bucket(BUCKET).key(NAME).build();
    }

    private static Object putGet() {
        S3Client s3 = client(S3Client.builder());
        s3.putObject(put(), RequestBody.fromBytes(CONTENT));
        return same(s3.getObjectAsBytes(get()).asByteArray());
    }

    private static Object putGetAsync() {
        S3AsyncClient s3 = client(S3AsyncClient.builder());
        s3.putObject(put(), AsyncRequestBody.fromBytes(CONTENT)).join();
        ResponseBytes<GetObjectResponse> got = s3.getObject(get(), AsyncResponseTransformer.toBytes()).join();
        return same(got.asByteArray());
    }

    private static Object invoke() {
        String answer = client(BedrockRuntimeClient.builder())
            .invokeModel(request -> request.modelId(MODEL).body(QUESTION)).body().asUtf8String();
        return print(answer.replaceAll(".*\"text\": ?\"([^\"]*)\".*", "$1"));
    }

    private static Object converse() {
        return print(client(BedrockRuntimeClient.builder())
            .converse(request -> request.modelId(MODEL).messages(CONVERSATION))
            .output().message().content().get(0).text());
    }

    private static <T> void printEach(SdkPublisher<T> events) {
        AtomicInteger number = new AtomicInteger();
        events.subscribe(event -> print("event " + number.incrementAndGet() + " " + event.getClass().getSimpleName()));
    }

    private static Object invokeStreamed() {
        return client(BedrockRuntimeAsyncClient.builder()).invokeModelWithResponseStream(
            request -> request.modelId(MODEL).body(QUESTION),
            InvokeModelWithResponseStreamResponseHandler.builder().onEventStream(AwsSdk::printEach).build()).join();
    }

    private static Object converseStreamed() {
        return client(BedrockRuntimeAsyncClient.builder()).converseStream(
            request -> request.modelId(MODEL).messages(CONVERSATION),
            ConverseStreamResponseHandler.builder().onEventStream(AwsSdk::printEach).build()).join();
    }
}
