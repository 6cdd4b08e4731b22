// The list of all apps, and what is to be said of all of them together.

import { $, bytes, keyed, make, number, percent, setCondition, setText } from "./dom.js";

const TROUBLES = 3;

const rows = new Map();
let chosen = null;

export const link = (name) => `#/app/${encodeURIComponent(name)}`;

export function choose(name) {
  chosen = name;
  for (const [key, row] of rows) setCurrent(row, key);
}

function setCurrent(row, name) {
  if (name === chosen) row.link.setAttribute("aria-current", "true");
  else row.link.removeAttribute("aria-current");
}

function create(name) {
  const row = {
    name: make("span", "name", name),
    rate: make("span", "rate"),
    status: make("span", "status"),
    use: make("span", "use"),
    link: make("a"),
    element: make("li"),
  };
  row.link.href = link(name);
  row.link.append(row.name, row.rate, row.status, row.use);
  row.element.append(row.link);
  setCurrent(row, name);
  return row;
}

export function showList(apps) {
  const wanted = $("filter").value.trim().toLowerCase();
  const shown = apps.filter((app) => `${app.name} ${app.namespace}`.toLowerCase().includes(wanted));
  keyed($("apps"), rows, shown.map((app) => app.name), create);
  for (const app of shown) {
    const row = rows.get(app.name);
    setText(row.status, app.status);
    setCondition(row.status, app.condition);
    setText(row.rate, `${number(app.figures.rate)}/s`);
    setText(row.use, `${percent(app.figures.cpu)} · ${bytes(app.figures.memory)}`);
  }
  $("no-apps").hidden = shown.length > 0;
  setText($("no-apps"), apps.length ? "No app is called so." : "No apps; `maitred start` adds one.");
  summarize(apps);
}

// How many there are, and which are not well.
function summarize(apps) {
  const instances = apps.flatMap((app) => app.instances);
  const online = instances.filter((it) => it.status === "online").length;
  const many = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;
  const bad = apps.filter((app) => app.condition === "bad");
  const text = `${many(apps.length, "app")}, ${number(online)} of ${many(instances.length, "instance")} online`;
  const troubles = bad.slice(0, TROUBLES).map((app) => ({ name: app.name, text: `${app.name}: ${app.status}` }));
  const more = bad.length > TROUBLES ? ` and ${bad.length - TROUBLES} more` : "";
  const key = JSON.stringify([text, troubles, more]);
  if (summarize.last === key) return;
  summarize.last = key;
  const links = troubles.map((trouble) => {
    const element = make("a", "", trouble.text);
    element.href = link(trouble.name);
    return element;
  });
  $("summary").replaceChildren(text, ...links, more);
  document.title = bad.length ? `(${bad.length}) maitred` : "maitred";
}
