// Bodies: JSON as a tree, streams event by event, anything else as text.

import { count, el } from "./dom.js";

// Members of one value, and events of one stream, that are shown at a time.
const MOST = 200;

// How deep a tree is open at first.
const OPEN = 2;

export function rendered(body, contentType) {
  const bytes = Uint8Array.from(atob(body.base64), (character) => character.charCodeAt(0));
  const text = new TextDecoder().decode(bytes);
  const notes = [`${count(body.bytes ?? bytes.length)} bytes`];
  if (body.encoding) notes.push(`sent as ${body.encoding}`);
  const isStream = /event-stream|x-ndjson|jsonl/.test(contentType);
  const note = el("p", { class: "quiet" }, notes.join(", "));
  if (body.truncated) {
    const part = isStream ? "last" : "first";
    note.append(el("span", { class: "mark warn truncated" }, `truncated: the ${part} ${count(bytes.length)} bytes`));
  }
  const shown = isStream ? stream(text, contentType) : value(text);
  return [note, el("div", { class: "body", tabindex: "0" }, shown)];
}

function value(text) {
  const parsed = json(text);
  return parsed === undefined ? el("pre", null, text) : tree(null, parsed, 0);
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function stream(text, contentType) {
  const isEvents = contentType.includes("event-stream");
  const pieces = text.split(isEvents ? /\r?\n\r?\n|\r\r/ : /\r?\n/).filter((piece) => piece.trim() !== "");
  return pieced(pieces, isEvents ? event : (line) => el("div", { class: "event" }, value(line)));
}

// https://html.spec.whatwg.org/multipage/server-sent-events.html
function event(text) {
  const data = [];
  let name = "message";
  for (const line of text.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const rest = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") data.push(rest);
    else if (field === "event") name = rest;
  }
  // The first event of a stream that is cut may have lost its beginning.
  const shown = data.length > 0 ? value(data.join("\n")) : el("pre", null, text);
  return el("div", { class: "event" }, el("div", { class: "key" }, name), shown);
}

function tree(name, of, depth) {
  const label = name === null ? [] : [el("span", { class: "key" }, name), ": "];
  if (of === null || typeof of !== "object") {
    const kind = typeof of === "string" ? "text" : "plain";
    return el("div", { class: "leaf" }, ...label, el("span", { class: kind }, JSON.stringify(of)));
  }
  const isList = Array.isArray(of);
  const members = isList ? of.map((member, index) => [String(index), member]) : Object.entries(of);
  const size = isList ? `[ ${members.length} ]` : `{ ${members.length} }`;
  const details = el("details", null, el("summary", null, ...label, size));
  // What is closed is made when it is opened: a body may be nested as deep as it is long.
  const fill = () => {
    if (details.childElementCount === 1) {
      details.append(pieced(members, ([key, member]) => tree(key, member, depth + 1)));
    }
  };
  if (depth < OPEN) {
    fill();
    details.open = true;
  }
  details.addEventListener("toggle", fill);
  return details;
}

// Some of a list, and a button for more.
function pieced(list, draw) {
  const whole = el("div");
  const more = (from) => {
    whole.append(...list.slice(from, from + MOST).map(draw));
    const left = list.length - from - MOST;
    if (left > 0) {
      const button = el("button", { click: () => { button.remove(); more(from + MOST); } }, `${count(left)} more`);
      whole.append(button);
    }
  };
  more(0);
  return whole;
}
