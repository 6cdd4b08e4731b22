// Small helpers: elements made of text alone, and values as people read them.

export const $ = (id) => document.getElementById(id);

// An element with these classes and children; a child that is a string is text.
export function make(tag, classes = "", ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children);
  return element;
}

const shown = new WeakMap();

// Sets an element's text, where it has changed: what stays as it is costs no layout.
export function setText(element, text) {
  if (shown.get(element) === text) return;
  shown.set(element, text);
  element.textContent = text;
}

export function setCondition(element, condition) {
  if (element.dataset.condition !== condition) element.dataset.condition = condition;
}

// Brings the children of a list into the order of these keys; `create` makes what is missing.
export function keyed(list, rows, keys, create) {
  const wanted = new Set(keys);
  for (const [key, row] of rows) {
    if (!wanted.has(key)) {
      row.element.remove();
      rows.delete(key);
    }
  }
  let next = list.firstElementChild;
  for (const key of keys) {
    let row = rows.get(key);
    if (!row) {
      row = create(key);
      rows.set(key, row);
    }
    if (row.element === next) {
      next = next.nextElementSibling;
    } else {
      list.insertBefore(row.element, next);
    }
  }
}

export function bytes(value) {
  if (!value) return "0";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

export function number(value) {
  if (value === undefined || value === null) return "–";
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(1);
}

// The same where there is little room.
export function short(value) {
  return value < 10000 ? number(value) : new Intl.NumberFormat("en", { notation: "compact" }).format(value);
}

export function percent(value) {
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)} %`;
}

export function seconds(value) {
  if (value === undefined || value === null) return "–";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 0.1) return `${(value * 1e3).toFixed(1)} ms`;
  if (value < 1) return `${Math.round(value * 1e3)} ms`;
  return `${value.toFixed(1)} s`;
}

// How long ago something began, in its largest unit.
export function duration(milliseconds) {
  const all = Math.max(0, Math.floor(milliseconds / 1000));
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min`;
  if (all < 86400) return `${Math.floor(all / 3600)} h`;
  return `${Math.floor(all / 86400)} d`;
}

export function clock(at) {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? "" : time.toLocaleTimeString("en-GB");
}
