// The state of every gateway and object, as `keyward status` shows it.

import { byId, el, table } from "./dom.js";

export async function show() {
  const answer = await fetch("state").catch(() => null);
  const view = byId("view-objects");
  if (answer === null || !answer.ok) {
    view.replaceChildren(el("p", { class: "bad" }, "No answer: has keyward ended?"));
    return;
  }
  const state = await answer.json();
  const { scrollTop } = view;
  view.replaceChildren(
    el("h2", null, "Gateways"),
    table(null, ["Gateway", "Ready", "Proxy", "Envoys that hold it", "Certificates"], state.gateways.map(gateway)),
    el("h2", null, "Objects"),
    table({ id: "objects" }, ["Kind", "Name", "Conditions"], state.objects.map(object)),
    ...problems(state.problems),
    ...tokens(state.tokens),
  );
  view.scrollTop = scrollTop;
}

function gateway(of) {
  const cells = [`${of.namespace}/${of.name}`, null, of.proxy, `${of.push.acknowledged} of ${of.push.envoys}`, String(of.leaves.count)];
  const row = el("tr", null, ...cells.map((text) => el("td", null, text)));
  row.children[1].append(truth(of.ready ? "True" : "False"));
  for (const refused of of.push.refused) {
    row.lastChild.append(el("div", { class: "bad" }, `${refused.resource}: ${refused.why}`));
  }
  return row;
}

function object(of) {
  const conditions = of.conditions.map((condition) =>
    el("div", null,
      truth(condition.status), ` ${condition.of ? `${condition.of}: ` : ""}${condition.type} (${condition.reason}) `,
      el("span", { class: "quiet" }, condition.message)));
  return el("tr", null,
    el("td", null, of.kind), el("td", { class: "name" }, `${of.namespace}/${of.name}`), el("td", null, ...conditions));
}

const KINDS = { True: "good", False: "bad", Unknown: "warn" };

const truth = (status) => el("span", { class: KINDS[status] ?? "quiet" }, status);

function problems(list) {
  if (list.length === 0) return [];
  return [el("h2", null, "Problems of the files"), el("ul", null, ...list.map((text) => el("li", { class: "bad" }, text)))];
}

function tokens(list) {
  if (list.length === 0) return [];
  const rows = list.map((token) =>
    el("tr", null, ...[token.secret, token.key, token.expires_at, token.next_attempt, token.last_error].map((text) =>
      el("td", null, text ?? "–"))));
  return [el("h2", null, "Google tokens"), table(null, ["Secret", "Key", "Expires", "Next attempt", "Last error"], rows)];
}
