// Node's own fetch as an agent uses it: no word of a proxy, a CA or a key but what the environment says.
//
// usage: node fetch.cjs plain
// Prints the text of the answer.

const question = { model: 'claude-test', max_tokens: 64, messages: [{ role: 'user', content: 'Say hello.' }] };
const headers = {
  'x-api-key': process.env.ANTHROPIC_API_KEY,
  'anthropic-version': '2023-06-01',
  'content-type': 'application/json',
};

async function plain() {
  const body = JSON.stringify(question);
  const answer = await fetch('https://api.anthropic.com/v1/messages', { method: 'POST', headers, body });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  console.log((await answer.json()).content[0].text);
}

plain().catch((error) => {
  console.error(error);
  process.exit(1);
});
