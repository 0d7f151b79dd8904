// The filter: terms of which all must hold. `field:text`, `-term`, or a text anywhere in the row.

const FIELDS = {
  host: (row) => row.host,
  path: (row) => row.path,
  method: (row) => row.method,
  model: (row) => row.model,
  decision: (row) => row.decision,
  reason: (row) => row.reason,
  gateway: (row) => row.gateway,
};

export function parse(text) {
  const terms = text.toLowerCase().split(/\s+/).filter((term) => term !== "" && term !== "-").map(term);
  return (row) => terms.every((holds) => holds(row));
}

function term(text) {
  if (text.startsWith("-")) {
    const holds = term(text.slice(1));
    return (row) => !holds(row);
  }
  const colon = text.indexOf(":");
  const name = text.slice(0, Math.max(colon, 0));
  const value = text.slice(colon + 1);
  if (name === "status") return (row) => isStatus(row.status, value);
  if (Object.hasOwn(FIELDS, name)) return (row) => contains(FIELDS[name](row), value);
  return (row) => contains(anything(row), text);
}

// `4xx`, or the digits that it begins with.
function isStatus(status, value) {
  return status !== null && String(status).startsWith(value.replace(/x+$/, ""));
}

const contains = (text, value) => (text ?? "").toLowerCase().includes(value);

const anything = (row) =>
  [row.method, row.host, row.path, row.status, row.decision, row.reason, row.model, row.gateway].join("\n");
