// OpenAI's Node SDK as an agent uses it: no word of a proxy, a CA or a key but what the environment says.
//
// usage: node openai_sdk.cjs openai|azure responses|chat plain|streamed|usage|usage-streamed
//        node openai_sdk.cjs openai|azure embeddings usage
// Prints the text of the answer; streamed, one line an event, written out at once. `usage`: the model and what the
// answer cost, as the SDK has them, in JSON.

const { AzureOpenAI, OpenAI } = require('openai');

const input = { model: 'gpt-test', input: 'Say hello.' };
const messages = { model: 'gpt-test', messages: [{ role: 'user', content: 'Say hello.' }] };

async function print(events, name) {
  let number = 0;
  for await (const event of events) {
    number += 1;
    console.log(`event ${number} ${name(event)}`);
  }
}

const told = ({ model, usage }) => console.log(JSON.stringify({ model, usage }));

async function last(events, has) {
  let found;
  for await (const event of events) found = has(event) ? event : found;
  return found;
}

const run = {
  responses: {
    usage: async (client) => told(await client.responses.create(input)),
    'usage-streamed': async (client) => {
      const events = await client.responses.create({ ...input, stream: true });
      told((await last(events, (event) => event.type === 'response.completed')).response);
    },
    plain: async (client) => console.log((await client.responses.create(input)).output_text),
    streamed: async (client) => {
      await print(await client.responses.create({ ...input, stream: true }), (event) => event.type);
    },
  },
  chat: {
    usage: async (client) => told(await client.chat.completions.create(messages)),
    'usage-streamed': async (client) => {
      const streamed = { ...messages, stream: true, stream_options: { include_usage: true } };
      told(await last(await client.chat.completions.create(streamed), (chunk) => chunk.usage));
    },
    plain: async (client) => console.log((await client.chat.completions.create(messages)).choices[0].message.content),
    streamed: async (client) => {
      const chunks = await client.chat.completions.create({ ...messages, stream: true });
      await print(chunks, (chunk) => chunk.choices[0].delta.content);
    },
  },
  embeddings: {
    usage: async (client) => told(await client.embeddings.create({ model: 'embedding-test', input: 'Say hello.' })),
  },
};

const [provider, api, mode] = process.argv.slice(2);
const Client = { openai: OpenAI, azure: AzureOpenAI }[provider];
run[api][mode](new Client({ maxRetries: 0 })).catch((error) => {
  console.error(error);
  process.exit(1);
});
