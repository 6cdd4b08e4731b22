// The page: one stream of events from the server, and what it changes.
//
// All that comes from apps is set as text, never as markup.

import { $, setCondition, setText } from "./dom.js";
import { Logs } from "./logs.js";
import { setUpOrders } from "./orders.js";
import * as detail from "./detail.js";
import * as list from "./list.js";

// How long until a stream that was refused is asked for again.
const AGAIN = 3000;

const logs = new Logs();
let apps = [];
let at = 0;
let chosen = null;
let source = null;
let timer = 0;

function live(text, condition) {
  setText($("live"), text);
  setCondition($("live"), condition);
}

// The app that the address names.
function named() {
  const match = /^#\/app\/(.+)$/.exec(location.hash);
  try {
    return match ? decodeURIComponent(match[1]) : null;
  } catch {
    return null;
  }
}

async function get(path) {
  const answer = await fetch(`/api/v1/${path}`);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

// Begins to listen; the log of the app that is chosen comes along.
function listen() {
  clearTimeout(timer);
  source?.close();
  logs.clear();
  const isKnown = apps.some((app) => app.name === chosen);
  const query = isKnown ? `?logs=${encodeURIComponent(chosen)}` : "";
  const stream = new EventSource(`/api/v1/stream${query}`);
  source = stream;
  stream.addEventListener("hello", (event) => {
    // What was sent before is sent again.
    logs.clear();
    const { read_only: isReadOnly } = JSON.parse(event.data);
    $("read-only").hidden = !isReadOnly;
    detail.setUp(isReadOnly);
    live("live", "well");
    loadChosen();
  });
  stream.addEventListener("apps", (event) => update(JSON.parse(event.data)));
  stream.addEventListener("lines", (event) => logs.add(JSON.parse(event.data)));
  stream.addEventListener("happened", (event) => {
    const happened = JSON.parse(event.data);
    if (happened.app === chosen) detail.addEvents([happened]);
  });
  stream.addEventListener("error", () => {
    live("connection lost", "bad");
    if (stream.readyState !== EventSource.CLOSED || source !== stream) return;
    timer = setTimeout(refused, AGAIN);
  });
}

// The server does not take us: it may want the token again.
async function refused() {
  const answer = await fetch("/api/v1/apps").catch(() => null);
  if (answer?.status === 401) {
    live("session ended: open the address that maitred dashboard prints", "bad");
    timer = setTimeout(refused, AGAIN);
  } else {
    // The app whose log was followed may be gone.
    if (answer?.ok) update(await answer.json());
    listen();
  }
}

function update(now) {
  const began = performance.now();
  const knew = apps.some((app) => app.name === chosen);
  ({ apps, at } = now);
  if (document.hidden) return;
  show();
  if (!knew && apps.some((app) => app.name === chosen)) listen();
  performance.measure("maitred-update", { start: began });
  performance.clearMeasures("maitred-update");
}

function show() {
  list.showList(apps);
  // On a wide screen something is always shown: what is unwell, or the first app.
  const isWide = matchMedia("(min-width: 60.01rem)").matches;
  if (!chosen && isWide && apps.length) {
    const first = apps.find((app) => app.condition === "bad") ?? apps[0];
    history.replaceState(null, "", list.link(first.name));
    route();
    return;
  }
  const app = apps.find((it) => it.name === chosen);
  $("app").hidden = !app;
  $("nothing").hidden = Boolean(app);
  setText($("nothing"), chosen ? `No app is called ${chosen}.` : "No app is chosen.");
  if (app) {
    logs.name(app);
    detail.showApp(app, at);
  }
}

// What is known of the chosen app's past.
async function loadChosen() {
  const name = chosen;
  if (!apps.some((app) => app.name === name)) return;
  try {
    const path = `apps/${encodeURIComponent(name)}`;
    const [figures, events] = await Promise.all([get(`${path}/figures`), get("events")]);
    if (name !== chosen) return;
    detail.clear();
    show();
    detail.load(figures);
    detail.addEvents(events.filter((event) => event.app === name));
  } catch {
    // It is gone, or the stream tells that the server is.
  }
}

function route() {
  const name = named();
  document.body.dataset.view = name ? "app" : "list";
  if (name === chosen && source) return;
  chosen = name;
  list.choose(name);
  detail.clear();
  if (apps.length) show();
  listen();
}

addEventListener("hashchange", () => {
  // The link that skips the list leads nowhere else.
  if (location.hash === "#main") return;
  route();
  if (chosen) $("main").focus();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && apps.length) {
    show();
    loadChosen();
  }
});
$("filter").addEventListener("input", () => list.showList(apps));
setUpOrders();
route();
