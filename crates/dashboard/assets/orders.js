// Orders: asked for once more, sent, and what came of them.

import { $, make } from "./dom.js";

// How long a message stays that tells of nothing bad.
const STAYS = 8000;

const dialog = () => $("confirm");
let confirmed = null;

// Asks whether that is to be done with an app, or an instance of it.
export function ask(verb, app, instance = null) {
  const name = instance ? `${app.name}-${instance.number}` : app.name;
  const count = app.instances.length;
  const all = count === 1 ? "Its instance" : `All ${count} instances`;
  const consequences = {
    start: `${all} will run.`,
    stop: `${all} will end; the app stays in the list.`,
    restart: instance ? "The instance ends, and is started again." : `${all} end, and are started again.`,
    reload: `${all} are replaced one after the other, so that the app serves on.`,
    scale: `${name} has ${count} instance${count === 1 ? "" : "s"}.`,
  };
  const word = verb[0].toUpperCase() + verb.slice(1);
  $("question").textContent = `${word} ${name}?`;
  $("consequence").textContent = consequences[verb];
  $("confirmed").textContent = word;
  $("count-label").hidden = verb !== "scale";
  $("count").value = String(count);
  confirmed = () => {
    const details = {};
    if (instance) details.instance = instance.number;
    if (verb === "scale") details.instances = Number($("count").value);
    order(verb, app.name, name, details);
  };
  dialog().showModal();
  (verb === "scale" ? $("count") : $("cancel")).focus();
}

export function setUpOrders() {
  $("cancel").addEventListener("click", () => dialog().close());
  const confirm = () => {
    if (!$("count-label").hidden && !$("count").reportValidity()) return;
    const act = confirmed;
    dialog().close();
    act?.();
  };
  $("confirmed").addEventListener("click", confirm);
  $("count").addEventListener("keydown", (event) => {
    if (event.key === "Enter") confirm();
  });
  dialog().addEventListener("close", () => (confirmed = null));
}

async function order(verb, app, name, details) {
  const message = say(`${name}: ${verb} …`);
  try {
    const answer = await fetch(`/api/v1/apps/${encodeURIComponent(app)}/${verb}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Maitred-Order": "1" },
      body: JSON.stringify(details),
    });
    const outcome = await answer.json();
    if (answer.ok) message.end(outcome.done, false);
    else message.end(`${name}: ${verb} failed: ${outcome.error}`, true);
  } catch (error) {
    message.end(`${name}: ${verb}: no answer (${error.message})`, true);
  }
}

// Shows a message; the returned object tells its end.
function say(text) {
  const content = make("span", "", text);
  const message = make("div", "message", content);
  $("messages").append(message);
  const end = (text, isBad) => {
    content.textContent = text;
    if (isBad) message.classList.add("bad");
    const close = make("button", "small", "Close");
    close.type = "button";
    close.addEventListener("click", () => message.remove());
    message.append(close);
    if (!isBad) setTimeout(() => message.remove(), STAYS);
  };
  return { end };
}
