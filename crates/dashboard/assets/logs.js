// The log of one app: the last lines, a search in them, and following.

import { $, clock, make } from "./dom.js";

const KEPT = 2000;

export class Logs {
  constructor() {
    this.lines = [];
    this.names = new Map();
    this.list = $("log");
    $("search").addEventListener("input", () => this.showAll());
    $("kinds").addEventListener("change", () => this.showAll());
    $("follow").addEventListener("change", () => this.scroll());
    // Who scrolls back reads; at the end it is followed again.
    this.list.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = this.list;
      const atEnd = scrollTop + clientHeight >= scrollHeight - 8;
      if (this.scrolled && !atEnd) $("follow").checked = false;
      if (atEnd && this.scrolled) $("follow").checked = true;
      this.scrolled = false;
    });
    for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      this.list.addEventListener(kind, () => (this.scrolled = true), { passive: true });
    }
  }

  clear() {
    this.lines = [];
    this.list.replaceChildren();
    this.tell();
  }

  // The names of instances by their numbers.
  name(app) {
    this.names = new Map(app.instances.map((it) => [it.id, `${app.name}-${it.number}`]));
  }

  add(lines) {
    this.lines.push(...lines);
    const over = this.lines.length - KEPT;
    if (over > 0) this.lines.splice(0, over);
    const elements = lines.filter((line) => this.isWanted(line)).map((line) => this.element(line));
    if (elements.length) {
      this.list.append(...elements.slice(-KEPT));
      while (this.list.childElementCount > KEPT) this.list.firstElementChild.remove();
      this.scroll();
    }
    this.tell();
  }

  get wanted() {
    return $("search").value.toLowerCase();
  }

  isWanted(line) {
    const kind = $("kinds").value;
    return (!kind || line.kind === kind) && line.text.toLowerCase().includes(this.wanted);
  }

  showAll() {
    const lines = this.lines.filter((line) => this.isWanted(line));
    this.list.replaceChildren(...lines.map((line) => this.element(line)));
    this.scroll();
    this.tell();
  }

  tell() {
    const all = this.lines.length;
    const shown = this.list.childElementCount;
    const text = shown === all ? `${all} lines` : `${shown} of ${all} lines`;
    if ($("found").textContent !== text) $("found").textContent = text;
  }

  scroll() {
    if ($("follow").checked) this.list.scrollTop = this.list.scrollHeight;
  }

  element(line) {
    const name = line.kind === "maitred" ? "maitred" : (this.names.get(line.id) ?? line.id ?? "");
    const at = line.at ? `${clock(line.at)} ` : "";
    const who = make("span", "who", `${at}${name}${line.kind === "err" ? " err" : ""}`);
    return make("div", `log-line ${line.kind}`, who, ...this.marked(line.text));
  }

  // The text, with what is searched for marked.
  marked(text) {
    const wanted = this.wanted;
    const lower = text.toLowerCase();
    // Letters whose lower case is longer would shift what is marked.
    if (!wanted || lower.length !== text.length) return [text];
    const parts = [];
    let from = 0;
    for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
      parts.push(text.slice(from, at), make("mark", "", text.slice(at, at + wanted.length)));
      from = at + wanted.length;
    }
    return [...parts, text.slice(from)];
  }
}
