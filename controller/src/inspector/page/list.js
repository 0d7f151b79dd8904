// The list of requests: only the rows in sight are in the document, so that thousands stay fluid.

import { byId, clock, count, el, milliseconds } from "./dom.js";

const HEIGHT = 26;
const AROUND = 12;

export class List {
  #all = [];
  #shown = [];
  #matches = () => true;
  #selected = null;
  #drawn = new Map();
  #waiting = false;
  #follows = true;
  #opened;

  constructor(opened) {
    this.grid = byId("list");
    this.scroller = byId("scroller");
    this.rows = byId("rows");
    this.#opened = opened;
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.select(Number(row.dataset.id));
    });
    this.rows.addEventListener("dblclick", () => this.open());
    new ResizeObserver(() => this.#draw()).observe(this.scroller);
  }

  // All requests that are kept.
  get all() {
    return this.#all;
  }

  get selected() {
    return this.#selected;
  }

  get shown() {
    return this.#shown.length;
  }

  // Takes new rows in; those before `first` are gone.
  add(rows, first) {
    const top = this.#shown[Math.floor(this.scroller.scrollTop / HEIGHT)];
    const left = this.#all.filter((row) => row.id >= first).concat(rows);
    // Each worker of an Envoy tells by itself: what began later may have come before.
    this.#all = left.sort((one, other) => one.started_us - other.started_us || one.id - other.id);
    this.#shown = this.#all.filter(this.#matches);
    // What the reader looks at stays where it is.
    const moved = this.#follows ? -1 : this.#shown.indexOf(top);
    if (moved >= 0) this.scroller.scrollTop = moved * HEIGHT + (this.scroller.scrollTop % HEIGHT);
    this.#draw();
  }

  filter(matches) {
    this.#matches = matches;
    this.#shown = this.#all.filter(matches);
    if (!this.#shown.some((row) => row.id === this.#selected)) this.#selected = null;
    this.#draw();
    this.reveal();
  }

  select(id) {
    this.#selected = id;
    this.reveal();
    this.#draw();
  }

  // Moves the selection by so many rows; from nowhere to the first in sight.
  move(by) {
    if (this.#shown.length === 0) return;
    const index = this.#shown.findIndex((row) => row.id === this.#selected);
    const inSight = Math.ceil(this.scroller.scrollTop / HEIGHT);
    const wanted = index < 0 && Number.isFinite(by) ? inSight : index + by;
    this.select(this.#shown[Math.min(Math.max(wanted, 0), this.#shown.length - 1)].id);
  }

  page() {
    return Math.max(1, Math.floor(this.scroller.clientHeight / HEIGHT) - 1);
  }

  open() {
    if (this.#selected !== null) this.#opened(this.#selected);
  }

  // Scrolls to what is selected.
  reveal() {
    const index = this.#shown.findIndex((row) => row.id === this.#selected);
    if (index < 0) return;
    const top = index * HEIGHT;
    const height = this.scroller.clientHeight;
    this.#follows = index === this.#shown.length - 1;
    this.rows.style.height = `${this.#shown.length * HEIGHT}px`;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + HEIGHT > this.scroller.scrollTop + height) this.scroller.scrollTop = top + HEIGHT - height;
  }

  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    this.#follows = scrollTop + clientHeight >= scrollHeight - HEIGHT;
    this.#draw();
  }

  #draw() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    this.rows.style.height = `${this.#shown.length * HEIGHT}px`;
    if (this.#follows) this.scroller.scrollTop = this.scroller.scrollHeight;
    const { scrollTop, clientHeight } = this.scroller;
    const from = Math.max(0, Math.floor(scrollTop / HEIGHT) - AROUND);
    const to = Math.min(this.#shown.length, Math.ceil((scrollTop + clientHeight) / HEIGHT) + AROUND);
    const wanted = new Map();
    for (let index = from; index < to; index += 1) wanted.set(this.#shown[index].id, index);
    for (const [id, element] of this.#drawn) {
      if (!wanted.has(id)) {
        element.remove();
        this.#drawn.delete(id);
      }
    }
    let before = this.rows.firstChild;
    for (const [id, index] of wanted) {
      let element = this.#drawn.get(id);
      if (!element) {
        element = drawn(this.#shown[index]);
        this.#drawn.set(id, element);
      }
      // In the order of the list, for those who hear it.
      if (element === before) before = before.nextSibling;
      else this.rows.insertBefore(element, before);
      element.style.top = `${index * HEIGHT}px`;
      element.setAttribute("aria-rowindex", index + 2);
      element.setAttribute("aria-selected", id === this.#selected);
    }
    this.grid.setAttribute("aria-rowcount", this.#shown.length + 1);
    if (this.#drawn.has(this.#selected)) this.grid.setAttribute("aria-activedescendant", `row-${this.#selected}`);
    else this.grid.removeAttribute("aria-activedescendant");
    const empty = byId("empty");
    empty.hidden = this.#shown.length > 0;
    if (this.#all.length > 0) empty.textContent = "No request matches the filter.";
  }
}

function drawn(row) {
  const cell = (text, kind) => el("span", { role: "gridcell", class: kind }, text);
  const tokens = row.input_tokens === null && row.output_tokens === null
    ? ""
    : `${known(row.input_tokens)} / ${known(row.output_tokens)}`;
  return el(
    "div",
    { role: "row", class: "row columns", id: `row-${row.id}`, "data-id": row.id },
    cell(clock(row.started_us)),
    cell(row.method),
    cell(row.host),
    cell(row.path),
    cell(row.status === null ? "–" : String(row.status), `number ${statusKind(row.status)}`),
    cell(row.decision + (row.smuggle_attempt ? " !" : ""), decisionKind(row)),
    cell(row.reason ?? ""),
    cell(row.model ?? ""),
    cell(tokens, "number"),
    cell(milliseconds(row.duration_us), "number"),
  );
}

const known = (number) => (number === null ? "?" : count(number));

export function statusKind(status) {
  if (status === null || status >= 500) return "bad";
  return status >= 400 ? "warn" : "good";
}

export function decisionKind(row) {
  if (row.decision === "denied") return "bad";
  if (row.smuggle_attempt) return "warn";
  return row.decision === "injected" ? "good" : "quiet";
}
