// One request: what the agent sent against what went out, the answer, bodies, and all that its span says.

import { rendered } from "./body.js";
import { byId, clock, count, el, milliseconds, table } from "./dom.js";
import { decisionKind, statusKind } from "./list.js";

// Shows nothing once the signal is aborted: answers may come in another order than they were asked for.
export async function open(id, close, signal) {
  const pane = byId("request");
  const answer = await fetch(`requests/${id}`, { signal }).catch(() => null);
  const request = answer?.ok ? await answer.json().catch(() => null) : null;
  if (signal.aborted) return;
  pane.hidden = false;
  pane.dataset.id = id;
  const button = el("button", { click: close, "aria-label": "Close", "aria-keyshortcuts": "Escape" }, "×");
  if (request === null) {
    pane.replaceChildren(el("div", { class: "title" }, el("h2", null, "It made room for newer requests."), button));
    return;
  }
  const heading = el("h2", null, `${request.method} ${request.host}${request.path}`);
  pane.replaceChildren(
    el("div", { class: "title" }, heading, button),
    summary(request),
    el("h2", null, "Request"),
    requestHeaders(request),
    ...body(request, request.request_body, request.request_headers, "Body of the request"),
    el("h2", null, "Answer"),
    table(null, ["Header", "Value"], request.response_headers.map(([name, value]) => pair(name, value))),
    ...body(request, request.response_body, request.response_headers, "Body of the answer"),
    el("h2", null, "Attributes of the span"),
    table(null, ["Name", "Value"], [
      ...request.attributes.map(([name, value]) => pair(name, typeof value === "string" ? value : JSON.stringify(value))),
      pair("trace_id", request.trace_id),
      pair("span_id", request.span_id),
    ]),
  );
  pane.scrollTop = 0;
}

function summary(request) {
  const items = [
    ["Time", clock(request.started_us)],
    ["Status", request.status === null ? "none" : String(request.status), statusKind(request.status)],
    ["Decision", request.decision, decisionKind(request)],
    ["Reason", request.reason],
    ["Gateway", request.gateway],
    ["Model", request.model],
    ["Tokens", tokens(request)],
    ["Duration", `${milliseconds(request.duration_us)} ms`],
    ["Attempt", request.smuggle_attempt ? "the agent sent a credential of its own" : null, "warn"],
  ];
  const shown = items.filter(([, value]) => value !== null && value !== "");
  return el("dl", null, ...shown.flatMap(([name, value, kind]) => [el("dt", null, name), el("dd", { class: kind }, value)]));
}

function tokens(request) {
  if (request.input_tokens === null && request.output_tokens === null) return null;
  const known = (number) => (number === null ? "?" : count(number));
  return `${known(request.input_tokens)} in, ${known(request.output_tokens)} out`;
}

const pair = (name, value) => el("tr", null, el("td", { class: "name" }, name), el("td", null, value));

const mark = (text, kind) => el("span", { class: `mark ${kind}` }, text);

function requestHeaders(request) {
  const lower = (names) => new Set(names.map((name) => name.toLowerCase()));
  const [removed, set] = [lower(request.headers_removed), lower(request.headers_set)];
  const refused = request.decision === "denied";
  const row = (name, sent, out, kind) =>
    el("tr", { "data-change": kind }, el("td", { class: "name" }, name), el("td", null, ...sent), el("td", null, ...out));
  const nothing = () => el("span", { class: "quiet" }, "–");
  const rows = request.request_headers.map(([name, value]) => {
    if (refused) return row(name, [value], [nothing()], "refused");
    if (!set.has(name.toLowerCase())) return row(name, [value], [value], null);
    const replaced = removed.delete(name.toLowerCase());
    const sent = replaced ? ["[redacted]"] : [nothing()];
    return row(name, sent, [value, mark("set by the gateway", "good")], replaced ? "replaced" : "set");
  });
  if (set.has(":path")) {
    rows.unshift(row(":path", ["another one"], [request.path, mark("set by the gateway", "good")], "set"));
  }
  for (const name of removed) rows.push(row(name, ["[redacted]"], [nothing(), mark("removed", "warn")], "removed"));
  return table({ class: "headers" }, ["Header", "The agent sent", refused ? "Nothing went out" : "Went out"], rows);
}

function body(request, shown, headers, title) {
  if (shown === null) {
    return request.bodies_left_out ? [el("p", { class: "quiet" }, `${title}: left out, the span had no room.`)] : [];
  }
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
  return [el("h2", null, title), ...rendered(shown, type.toLowerCase())];
}
