// Elements out of names and texts. No text ever becomes markup: agents write paths, headers and bodies.

export function el(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "click") element.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  // Texts become text nodes.
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function table(attributes, heads, rows) {
  const head = el("tr", null, ...heads.map((text) => el("th", { scope: "col" }, text)));
  return el("table", attributes, el("thead", null, head), el("tbody", null, ...rows));
}

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, fractionalSecondDigits: 3 });

export const clock = (microseconds) => time.format(new Date(microseconds / 1000));

export function milliseconds(microseconds) {
  const value = microseconds / 1000;
  return value < 10 ? value.toFixed(1) : Math.round(value).toString();
}

const whole = new Intl.NumberFormat("en");

export const count = (number) => whole.format(number);
