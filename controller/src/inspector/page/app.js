// Ties the page together: what comes from keyward, what the user types.

import { byId, count } from "./dom.js";
import { parse } from "./filter.js";
import { List } from "./list.js";
import { show as showObjects } from "./objects.js";
import { open } from "./request.js";
import { show as showUsage } from "./usage.js";

const VIEWS = ["requests", "usage", "objects"];

// How often the objects in sight are asked for, milliseconds.
const OBJECTS = 2000;

const filter = byId("filter");
const help = byId("help");
const pane = byId("request");
const list = new List(openRequest);
let counts = { first: 1, dropped: 0, unreadable: 0 };
let view = "requests";
let usageIsDue = false;
let opening = new AbortController();

const events = new EventSource("events");
events.addEventListener("open", () => connection("open", "live"));
events.addEventListener("error", () => {
  const ended = events.readyState === EventSource.CLOSED;
  connection(ended ? "closed" : "waiting", ended ? "keyward has ended" : "no connection to keyward");
});
events.addEventListener("rows", (event) => {
  const news = JSON.parse(event.data);
  counts = news.counts;
  list.add(news.rows, counts.first);
  told();
  if (view === "usage" && !usageIsDue) {
    usageIsDue = true;
    requestAnimationFrame(() => {
      usageIsDue = false;
      showUsage(list.all);
    });
  }
});

function connection(state, text) {
  const element = byId("connection");
  element.dataset.state = state;
  element.textContent = text;
}

function told() {
  const parts = [`${count(list.shown)} of ${count(list.all.length)} requests`];
  if (counts.dropped > 0) parts.push(`${count(counts.dropped)} older ones dropped`);
  if (counts.unreadable > 0) parts.push(`${count(counts.unreadable)} unreadable`);
  byId("counts").textContent = parts.join(", ");
}

async function openRequest(id) {
  opening.abort();
  opening = new AbortController();
  await open(id, closeRequest, opening.signal);
  list.reveal();
}

function closeRequest() {
  opening.abort();
  pane.hidden = true;
  pane.replaceChildren();
  list.grid.focus();
}

filter.addEventListener("input", () => {
  list.filter(parse(filter.value));
  told();
});

function turnTo(name) {
  view = name;
  for (const other of VIEWS) {
    const tab = byId(`tab-${other}`);
    tab.setAttribute("aria-selected", other === name);
    tab.tabIndex = other === name ? 0 : -1;
    byId(`view-${other}`).hidden = other !== name;
  }
  if (name === "usage") showUsage(list.all);
  if (name === "objects") showObjects();
}

for (const name of VIEWS) byId(`tab-${name}`).addEventListener("click", () => turnTo(name));

byId("tabs").addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  turnTo(VIEWS[(VIEWS.indexOf(view) + by + VIEWS.length) % VIEWS.length]);
  byId(`tab-${view}`).focus();
});

setInterval(() => {
  if (view === "objects" && !document.hidden) showObjects();
}, OBJECTS);

byId("help-button").addEventListener("click", () => help.showModal());

const MOVES = {
  j: () => list.move(1),
  ArrowDown: () => list.move(1),
  k: () => list.move(-1),
  ArrowUp: () => list.move(-1),
  PageDown: () => list.move(list.page()),
  PageUp: () => list.move(-list.page()),
  Home: () => list.move(-Infinity),
  End: () => list.move(Infinity),
};

// Keys that act wherever the focus is, but in a field or a dialog.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.target === filter) {
    if (event.key === "Escape" || event.key === "Enter") {
      list.grid.focus();
      event.preventDefault();
    }
    return;
  }
  const key = event.key;
  if (key === "/") {
    turnTo("requests");
    filter.focus();
    filter.select();
  } else if (key === "?") {
    help.showModal();
  } else if (key === "Escape" && !pane.hidden) {
    closeRequest();
  } else if (VIEWS[Number(key) - 1]) {
    turnTo(VIEWS[Number(key) - 1]);
    byId(`tab-${view}`).focus();
  } else if (view === "requests" && isForList(event)) {
    if (key === "Enter") list.open();
    else MOVES[key]();
    if (!pane.hidden && key !== "Enter" && list.selected !== null) list.open();
  } else {
    return;
  }
  event.preventDefault();
});

// Letters move the list from anywhere; keys that scroll or press what has the focus do so in the list alone.
function isForList(event) {
  if (event.key === "j" || event.key === "k") return true;
  const inList = event.target === list.grid || event.target === document.body;
  return inList && (event.key === "Enter" || Object.hasOwn(MOVES, event.key));
}

list.grid.focus();
