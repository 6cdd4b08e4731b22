// The app that is chosen: its figures, charts, instances, events.

import { $, bytes, clock, duration, keyed, make, number, percent, seconds, setCondition, setText } from "./dom.js";
import { Charts } from "./charts.js";
import { ask } from "./orders.js";

const EVENTS = 100;

const FIGURES = [
  ["rate", "", (it) => number(it.rate)],
  ["p50", "Half within", (it) => seconds(it.p50)],
  ["p99", "99 % within", (it) => seconds(it.p99)],
  ["open", "Open", (it) => number(it.open)],
  ["waiting", "Waiting", (it) => number(it.waiting)],
  ["cpu", "CPU", (it) => percent(it.cpu)],
  ["memory", "Memory", (it) => bytes(it.memory)],
  ["restarts", "Restarts", (it) => number(it.restarts)],
];

// Of many instances those that are seen are brought up to date each time, the others in turn.
const TURNS = 10;
const MANY = 100;

const rows = new Map();
const seen = new Set();
const values = new Map();
let charts = null;
let current = null;
let isReadOnly = false;
let turn = 0;
let observer = null;

// Which app is shown, and how it was last.
export const shown = () => current;

export function setUp(readOnly) {
  isReadOnly = readOnly;
  if (charts) return;
  $("app").hidden = false;
  charts = new Charts();
  observer = new IntersectionObserver(see, { root: $("instances").closest(".scroll") });
  for (const [key, label] of FIGURES) {
    const value = make("dd");
    const title = make("dt", "", label);
    values.set(key, { value, title });
    const pair = make("div");
    pair.append(title, value);
    $("figures").append(pair);
  }
}

// Forgets the app that was shown.
export function clear() {
  current = null;
  charts?.clear();
  observer?.disconnect();
  rows.clear();
  seen.clear();
  $("instances").replaceChildren();
  $("events").replaceChildren();
  $("no-events").hidden = false;
}

export function load(figures) {
  charts.load(figures);
}

export function showApp(app, at) {
  const isNew = current?.name !== app.name;
  current = app;
  setText($("name"), app.name);
  setText($("status"), app.status);
  setCondition($("status"), app.condition);
  setText($("about"), about(app));
  const what = app.unit === "requests" ? "Requests/s" : "Connections/s";
  setText($("per-second"), what);
  setText(values.get("rate").title, what);
  for (const [key, , form] of FIGURES) setText(values.get(key).value, form(app.figures));
  charts.name(app.unit);
  if (isNew || actionsDiffer(app)) showActions(app);
  showInstances(app, at);
  if (!isNew) charts.push(at, app.figures);
}

function about(app) {
  const places = app.listeners.map((it) => it.address);
  const listens = places.length ? `listens on ${places.join(", ")}` : "listens nowhere";
  const given = `balanced per ${app.unit === "requests" ? "request" : "connection"}`;
  const namespace = app.namespace === "default" ? [] : [`namespace ${app.namespace}`];
  return [listens, given, ...namespace].join(" · ");
}

function actionsDiffer(app) {
  return $("actions").dataset.runs !== String(app.is_to_run);
}

// An app that runs can be restarted; one that does not can be started.
function showActions(app) {
  $("actions").dataset.runs = String(app.is_to_run);
  if (isReadOnly) return $("actions").replaceChildren();
  const names = app.is_to_run ? ["reload", "restart", "scale", "stop"] : ["start", "scale"];
  const had = document.activeElement?.dataset?.order;
  const buttons = names.map((verb) => {
    const label = { reload: "Reload", restart: "Restart", scale: "Scale …", stop: "Stop", start: "Start" }[verb];
    const button = make("button", verb === "stop" ? "danger" : "", label);
    button.type = "button";
    button.dataset.order = verb;
    button.addEventListener("click", () => ask(verb, current));
    return button;
  });
  $("actions").replaceChildren(...buttons);
  buttons.find((it) => it.dataset.order === had)?.focus();
}

function createRow(id) {
  const cell = (classes = "") => make("td", classes);
  const bar = () => {
    const fill = make("span", "fill");
    const value = make("span", "value");
    const element = cell("bar");
    element.append(fill, value);
    return { element, fill, value };
  };
  const row = {
    name: make("th"),
    status: make("span", "status"),
    rate: bar(),
    open: bar(),
    cpu: cell(),
    memory: cell(),
    up: cell("wide"),
    restarts: cell("wide"),
    pid: cell("wide"),
    element: make("tr"),
  };
  row.name.scope = "row";
  const status = cell("reason");
  status.append(row.status);
  const order = cell("order");
  if (!isReadOnly) {
    row.button = make("button", "small", "Restart");
    row.button.type = "button";
    row.button.addEventListener("click", () => {
      const instance = current?.instances.find((it) => it.id === id);
      if (instance) ask("restart", current, instance);
    });
    order.append(row.button);
  }
  row.element.append(row.name, status, row.rate.element, row.open.element, row.cpu, row.memory, row.up);
  row.element.append(row.restarts, row.pid, order);
  return row;
}

// Rows that come into sight, or are scrolled out of it.
function see(entries) {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) seen.add(target);
    else seen.delete(target);
  }
}

function showInstances(app, at) {
  const { instances } = app;
  const known = new Set(rows.keys());
  $("instances").parentElement.classList.toggle("many", instances.length > MANY);
  keyed($("instances"), rows, instances.map((it) => it.id), createRow);
  const most = (of) => instances.reduce((most, it) => Math.max(most, it[of] ?? 0), 0);
  const highest = { rate: most("rate"), open: most("open") };
  turn = (turn + 1) % TURNS;
  for (const [index, instance] of instances.entries()) {
    const row = rows.get(instance.id);
    if (!known.has(instance.id)) observer.observe(row.element);
    else if (!seen.has(row.element) && index % TURNS !== turn) continue;
    setText(row.name, `${app.name}-${instance.number}`);
    setText(row.status, instance.reason ? `${instance.status}: ${instance.reason}` : instance.status);
    setCondition(row.status, instance.condition);
    setBar(row.rate, instance.rate, highest.rate);
    setBar(row.open, instance.open, highest.open);
    setText(row.cpu, instance.pid ? percent(instance.cpu) : "–");
    setText(row.memory, instance.pid ? bytes(instance.memory) : "–");
    setText(row.up, instance.since ? duration(at - instance.since) : "–");
    setText(row.restarts, number(instance.restarts));
    setText(row.pid, instance.pid ? String(instance.pid) : "–");
    if (row.button) {
      const label = `Restart ${app.name}-${instance.number}`;
      if (row.button.ariaLabel !== label) row.button.ariaLabel = label;
    }
  }
}

function setBar(bar, value, most) {
  setText(bar.value, number(value));
  const share = most > 0 && value ? Math.round((value / most) * 100) / 100 : 0;
  if (bar.share === share) return;
  bar.share = share;
  bar.fill.style.transform = `scaleX(${share})`;
}

// Something that has happened to the app that is shown.
export function addEvents(events) {
  if (!charts) return;
  for (const event of events) {
    charts.mark(event);
    const time = make("time", "", clock(event.at));
    time.dateTime = new Date(event.at).toISOString();
    const line = make("li");
    line.append(time, make("span", "", event.text));
    $("events").prepend(line);
  }
  while ($("events").childElementCount > EVENTS) $("events").lastElementChild.remove();
  $("no-events").hidden = $("events").childElementCount > 0;
}
