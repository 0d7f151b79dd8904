// The Node SDK as an agent uses it: no word of a proxy, a CA or a key but what the environment says.
//
// usage: node anthropic_sdk.cjs plain|streamed|usage|usage-streamed
// Prints the text of the answer; streamed, one line an event, written out at once. `usage`: the model and what the
// answer cost, as the SDK has them, in JSON.

const { Anthropic } = require('@anthropic-ai/sdk');

const question = { model: 'claude-test', max_tokens: 64, messages: [{ role: 'user', content: 'Say hello.' }] };

async function plain(client) {
  console.log((await client.messages.create(question)).content[0].text);
}

async function streamed(client) {
  let number = 0;
  for await (const event of await client.messages.create({ ...question, stream: true })) {
    number += 1;
    console.log(`event ${number} ${event.type}`);
  }
}

const told = ({ model, usage }) => console.log(JSON.stringify({ model, usage }));

const run = {
  plain,
  streamed,
  usage: async (client) => told(await client.messages.create(question)),
  'usage-streamed': async (client) => told(await client.messages.stream(question).finalMessage()),
}[process.argv[2]];
run(new Anthropic({ maxRetries: 0 })).catch((error) => {
  console.error(error);
  process.exit(1);
});
