// OpenAI's Node SDK as an agent uses it: no word of a proxy, a CA or a key but what the environment says.
//
// usage: node openai_sdk.cjs openai|azure responses|chat plain|streamed
// Prints the text of the answer; streamed, one line an event, written out at once.

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

const run = {
  responses: {
    plain: async (client) => console.log((await client.responses.create(input)).output_text),
    streamed: async (client) => {
      await print(await client.responses.create({ ...input, stream: true }), (event) => event.type);
    },
  },
  chat: {
    plain: async (client) => console.log((await client.chat.completions.create(messages)).choices[0].message.content),
    streamed: async (client) => {
      const chunks = await client.chat.completions.create({ ...messages, stream: true });
      await print(chunks, (chunk) => chunk.choices[0].delta.content);
    },
  },
};

const [provider, api, mode] = process.argv.slice(2);
const Client = { openai: OpenAI, azure: AzureOpenAI }[provider];
run[api][mode](new Client({ maxRetries: 0 })).catch((error) => {
  console.error(error);
  process.exit(1);
});
