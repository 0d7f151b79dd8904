// Tokens by model, of the requests that are kept: a plot, and the same as a table.

import { byId, count, el, svg, table } from "./dom.js";

const WIDTH = 900;
const LABEL = 240;
const BAR = 14;

// Models beyond are summed up: an agent may name as many as it likes.
const MOST = 30;

export function show(rows) {
  const models = summed(rows);
  const view = byId("view-usage");
  if (models.length === 0) {
    view.replaceChildren(el("h2", null, "Usage by model"), el("p", { class: "quiet" }, "No request has told of tokens yet."));
    return;
  }
  const box = (kind) => el("span", { class: kind, "aria-hidden": "true" });
  view.replaceChildren(
    el("h2", null, "Usage by model"),
    el("p", { class: "legend" }, "Tokens:", box("input-tokens"), "input", box("output-tokens"), "output"),
    plot(models),
    table(null, ["Model", "Requests", "Input tokens", "Output tokens"], models.map((model) =>
      el("tr", null, el("td", { class: "name" }, model.name), ...[model.requests, model.input, model.output].map((number) =>
        el("td", null, count(number)))))),
  );
}

export function summed(rows) {
  const models = new Map();
  for (const row of rows) {
    if (row.input_tokens === null && row.output_tokens === null) continue;
    const name = row.model ?? "unknown model";
    const model = models.get(name) ?? { name, requests: 0, input: 0, output: 0 };
    model.requests += 1;
    model.input += row.input_tokens ?? 0;
    model.output += row.output_tokens ?? 0;
    models.set(name, model);
  }
  const sorted = [...models.values()].sort((one, other) => other.input + other.output - one.input - one.output);
  const rest = sorted.splice(MOST);
  if (rest.length > 0) {
    const sum = (field) => rest.reduce((total, model) => total + model[field], 0);
    sorted.push({ name: `${rest.length} others`, requests: sum("requests"), input: sum("input"), output: sum("output") });
  }
  return sorted;
}

function plot(models) {
  const most = Math.max(1, ...models.flatMap((model) => [model.input, model.output]));
  const height = models.length * (2 * BAR + 12);
  const bar = (tokens, y, kind) => [
    svg("rect", { class: kind, x: LABEL, y, height: BAR, width: Math.max(1, (tokens / most) * (WIDTH - LABEL - 110)) }),
    svg("text", { x: LABEL + Math.max(1, (tokens / most) * (WIDTH - LABEL - 110)) + 6, y: y + BAR - 3 }, count(tokens)),
  ];
  const groups = models.map((model, index) => {
    const y = index * (2 * BAR + 12) + 4;
    const name = model.name.length > 34 ? `${model.name.slice(0, 33)}…` : model.name;
    return svg("g", { "data-model": model.name },
      svg("text", { x: LABEL - 10, y: y + BAR + 4, "text-anchor": "end" }, name),
      ...bar(model.input, y, "input-tokens"),
      ...bar(model.output, y + BAR + 2, "output-tokens"));
  });
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": "Input and output tokens by model; the table has the numbers" }, ...groups);
}
