// The AWS SDK for Node as an agent uses it: no word of a CA, a region or a key but what the environment says. It reads
// no proxy from the environment, and Bedrock's default handler speaks HTTP/2 past every agent: it is given a handler
// whose agent reads the proxy.
//
// usage: node aws_sdk.cjs SERVICE MODE
//   s3       put-get
//   bedrock  invoke | invoke-streamed | converse | converse-streamed, or one of the latter two with -usage
// Prints what it was answered; streamed, one line an event, written out at once. With `-usage`: what the answer cost, as
// the SDK has it, in JSON.

const https = require('node:https');
const bedrock = require('@aws-sdk/client-bedrock-runtime');
const s3 = require('@aws-sdk/client-s3');
const { NodeHttpHandler } = require('@smithy/node-http-handler');

const settings = () => ({
  maxAttempts: 1,
  requestHandler: new NodeHttpHandler({ httpsAgent: new https.Agent({ proxyEnv: process.env }) }),
});
// As most have, with a colon, which clients write as %3A.
const modelId = 'anthropic.claude-test-v1:0';
const body = JSON.stringify({
  anthropic_version: 'bedrock-2023-05-31',
  max_tokens: 64,
  messages: [{ role: 'user', content: 'Say hello.' }],
});
const messages = [{ role: 'user', content: [{ text: 'Say hello.' }] }];
const parsed = (bytes) => JSON.parse(Buffer.from(bytes).toString());

async function print(events, name) {
  let number = 0;
  for await (const event of events) {
    number += 1;
    console.log(`event ${number} ${name(event)}`);
  }
}

async function putGet() {
  const client = new s3.S3Client(settings());
  // Characters that each signer must encode in the same way.
  const place = { Bucket: 'keyward-test', Key: 'folder/a name+ü.txt' };
  const content = 'hello '.repeat(1000);
  await client.send(new s3.PutObjectCommand({ ...place, Body: content }));
  const got = await (await client.send(new s3.GetObjectCommand(place))).Body.transformToString();
  if (got !== content) throw new Error('what came back is not what was put');
  console.log(`the same ${got.length} bytes came back`);
}

const ask = (command) => new bedrock.BedrockRuntimeClient(settings()).send(command);

const told = (usage) => console.log(JSON.stringify({ model: null, usage }));

const run = {
  s3: { 'put-get': putGet },
  bedrock: {
    invoke: async () => {
      console.log(parsed((await ask(new bedrock.InvokeModelCommand({ modelId, body }))).body).content[0].text);
    },
    'invoke-streamed': async () => {
      const answer = await ask(new bedrock.InvokeModelWithResponseStreamCommand({ modelId, body }));
      await print(answer.body, (event) => parsed(event.chunk.bytes).type);
    },
    converse: async () => {
      console.log((await ask(new bedrock.ConverseCommand({ modelId, messages }))).output.message.content[0].text);
    },
    'converse-streamed': async () => {
      const answer = await ask(new bedrock.ConverseStreamCommand({ modelId, messages }));
      await print(answer.stream, (event) => Object.keys(event)[0]);
    },
    'converse-usage': async () => told((await ask(new bedrock.ConverseCommand({ modelId, messages }))).usage),
    'converse-streamed-usage': async () => {
      const answer = await ask(new bedrock.ConverseStreamCommand({ modelId, messages }));
      for await (const event of answer.stream) if (event.metadata) told(event.metadata.usage);
    },
  },
};

const [service, mode] = process.argv.slice(2);
run[service][mode]().catch((error) => {
  console.error(error);
  process.exit(1);
});
