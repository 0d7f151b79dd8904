// Google's Gen AI SDK for Node as an agent uses it: no word of a proxy, a CA or a key but what the environment says.
//
// usage: node google_sdk.cjs plain|streamed|usage|usage-streamed
// Prints the text of the answer; streamed, one line an event, written out at once. `usage`: the model and what the
// answer cost, as the SDK has them, in JSON.

const { GoogleGenAI } = require('@google/genai');

const question = { model: 'gemini-test', contents: 'Say hello.' };

async function plain(client) {
  console.log((await client.models.generateContent(question)).text);
}

async function streamed(client) {
  let number = 0;
  for await (const chunk of await client.models.generateContentStream(question)) {
    number += 1;
    console.log(`event ${number} ${chunk.text}`);
  }
}

const told = (answer) => console.log(JSON.stringify({ model: answer.modelVersion, usage: answer.usageMetadata }));

async function usageStreamed(client) {
  let last;
  for await (const chunk of await client.models.generateContentStream(question)) last = chunk;
  told(last);
}

const run = {
  plain,
  streamed,
  usage: async (client) => told(await client.models.generateContent(question)),
  'usage-streamed': usageStreamed,
}[process.argv[2]];
run(new GoogleGenAI({})).catch((error) => {
  console.error(error);
  process.exit(1);
});
