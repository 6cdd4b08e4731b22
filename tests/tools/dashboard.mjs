// dashboard.mjs CHROMIUM URL SCENARIO [FOLDER]: uses the dashboard in a real browser, as SCENARIO says, and
// prints what it saw as one line of JSON. With a FOLDER it leaves screenshots there.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [executablePath, url, scenario, folder] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Containers often have a small /dev/shm, which the browser would die of.
    "--disable-dev-shm-usage",
  ],
});

const faults = [];
const asked = new Set();

// A page at the dashboard, signed in; what goes wrong in it is kept.
async function open(options = {}, hash = "") {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("request", (request) => asked.add(new URL(request.url()).origin));
  page.on("response", (answer) => answer.status() >= 400 && faults.push(`${answer.status()} for ${answer.url()}`));
  page.on("dialog", (dialog) => {
    faults.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(url);
  await page.waitForURL((address) => !address.search);
  if (hash) await page.evaluate((hash) => (location.hash = hash), hash);
  await page.waitForFunction(() => document.getElementById("live").textContent === "live");
  return page;
}

const text = (page, selector) => page.locator(selector).innerText();

// What axe-core finds that is serious or critical.
async function axe(page) {
  const source = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(source);
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map((it) => it.html) }));
  });
  return found.filter((it) => it.impact === "serious" || it.impact === "critical");
}

async function answered(page, verb) {
  await page.locator(`#actions [data-order="${verb}"]`).click();
  await page.locator("#confirm").waitFor();
  if (verb === "scale") await page.locator("#count").fill("3");
  await page.locator("#confirmed").click();
  const message = page.locator(".message:has(button)").last();
  await message.waitFor();
  const said = await message.locator("span").innerText();
  await message.locator("button").click();
  return said;
}

const scenarios = {
  // What is shown, followed, ordered.
  async uses() {
    const page = await open({}, "#/app/api");
    await page.waitForFunction(() => document.querySelectorAll("#instances tr").length === 2);
    const points = () => page.evaluate(() => document.querySelector("#charts canvas")?.toDataURL().length ?? 0);
    const drawn = async () => page.evaluate(() => document.querySelector("#charts canvas").toDataURL());
    await page.waitForFunction(() => document.querySelector("#charts canvas"));
    const first = await drawn();
    await page.waitForFunction((first) => document.querySelector("#charts canvas").toDataURL() !== first, first);
    const moves = (await points()) > 0;
    await page.waitForFunction(() => document.getElementById("log").innerText.includes("a late line"));
    await page.locator("#search").fill("LATE");
    const found = await text(page, "#log");
    const marked = await page.locator("#log mark").allInnerTexts();
    await page.locator("#search").fill("");
    const kept = await page.evaluate(() => fetch("/api/v1/apps/api/figures").then((it) => it.json()));
    const said = [];
    for (const verb of ["restart", "reload", "scale", "stop", "start"]) said.push(await answered(page, verb));
    await page.waitForFunction(() => document.querySelectorAll("#instances tr").length === 3);
    const events = await text(page, "#events");
    // Escape takes nothing further.
    await page.locator('#actions [data-order="stop"]').click();
    await page.keyboard.press("Escape");
    const isOpen = await page.locator("#confirm").isVisible();
    await page.reload();
    await page.waitForFunction(() => document.querySelectorAll("#instances tr").length === 3);
    const cookies = await page.context().cookies();
    return {
      moves,
      found: found.split("\n").length,
      marked: [...new Set(marked)],
      kept: kept.at.length,
      said,
      events,
      isOpen,
      address: page.url(),
      readable: await page.evaluate(() => document.cookie),
      cookies: cookies.map(({ httpOnly, sameSite }) => ({ httpOnly, sameSite })),
    };
  },

  // Names, logs and events stay text; nothing comes from elsewhere.
  async hostile() {
    const page = await open();
    await page.locator("#apps a").first().click();
    await page.waitForFunction(() => document.getElementById("log").innerText.includes("alert"));
    await page.waitForFunction(() => document.getElementById("events").childElementCount > 0);
    return {
      name: await text(page, "#name"),
      log: await text(page, "#log"),
      events: await text(page, "#events"),
      title: await page.title(),
      elements: await page.locator("main img, main script, main b:not(.chart b), nav img, header b").count(),
      ran: await page.evaluate(() => window.ran ?? null),
      origins: [...asked],
      // What the policy forbids even to a fault of the page.
      inline: await page.evaluate(() => {
        const element = document.createElement("div");
        try {
          element.innerHTML = "<img src=x onerror='window.ran = 1'>";
          return "markup was taken";
        } catch (error) {
          return error.name;
        }
      }),
    };
  },

  // Pages of other sites get nothing, though the browser has the session.
  async foreign() {
    const page = await open();
    const own = new URL(page.url());
    await page.route("http://evil.example/**", (route) => route.fulfill({ contentType: "text/html", body: "<p>evil" }));
    const results = [];
    const tries = async (address) => {
      await page.goto(address);
      return page.evaluate(async (target) => {
        const get = await fetch(target, { credentials: "include" }).then((it) => it.status, (error) => error.name);
        const post = await fetch(`${target}/api/restart`, { method: "POST", credentials: "include", mode: "no-cors" })
          .then((it) => it.type, (error) => error.name);
        const image = await new Promise((done) => {
          const element = new Image();
          element.onload = () => done("loaded");
          element.onerror = () => done("refused");
          element.src = new URL("/icon.svg", target).href;
        });
        return { get, post, image };
      }, `${own.origin}/api/v1/apps`);
    };
    results.push(await tries("http://evil.example/"));
    return { results };
  },

  // Who has no session is told what to open.
  async stranger() {
    const context = await browser.newContext();
    const page = await context.newPage();
    const answer = await page.goto(new URL("/", url).href);
    return { status: answer.status(), text: await text(page, "body") };
  },

  async readOnly() {
    const page = await open({}, "#/app/api");
    await page.waitForFunction(() => document.querySelectorAll("#instances tr").length > 0);
    return {
      badge: await page.locator("#read-only").isVisible(),
      buttons: await page.locator("#actions button, #instances button").count(),
    };
  },

  // Every size and scheme: what axe finds, what is wider than the screen, and a picture of each.
  async looks() {
    const seen = [];
    for (const width of [390, 1440]) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await open({ viewport: { width, height: 900 }, colorScheme });
        for (const [view, hash] of [["list", "#/"], ["app", "#/app/api"]]) {
          await page.evaluate((hash) => (location.hash = hash), hash);
          if (view === "app") await page.waitForFunction(() => document.getElementById("log").childElementCount > 0);
          // The charts have something to show.
          if (view === "app") await page.waitForTimeout(2500);
          const name = `${width}-${colorScheme}-${view}`;
          if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
          const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
          seen.push({ name, wide, axe: await axe(page) });
        }
        await page.locator('#actions [data-order="scale"]').click();
        await page.locator("#confirm").waitFor();
        if (folder) await page.screenshot({ path: `${folder}/${width}-${colorScheme}-dialog.png` });
        seen.push({ name: `${width}-${colorScheme}-dialog`, wide: false, axe: await axe(page) });
        await page.context().close();
      }
    }
    return { seen };
  },

  // All can be done without a mouse.
  async keyboard() {
    const page = await open({ viewport: { width: 390, height: 844 } });
    await page.waitForFunction(() => document.querySelectorAll("#apps a").length > 0);
    const until = async (selector) => {
      for (let presses = 0; presses < 60; presses++) {
        await page.keyboard.press("Tab");
        if (await page.evaluate((it) => document.activeElement.matches(it), selector)) return;
      }
      faults.push(`no Tab leads to ${selector}`);
    };
    await until('#apps a[href="#/app/api"]');
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.getElementById("name").textContent === "api");
    const focus = await page.evaluate(() => document.activeElement.id);
    await until('#actions [data-order="restart"]');
    await page.keyboard.press("Enter");
    await page.locator("#confirm").waitFor();
    const first = await page.evaluate(() => document.activeElement.id);
    await until("#confirmed");
    await page.keyboard.press("Enter");
    await page.locator(".message:has(button) span").waitFor();
    const said = await text(page, ".message span");
    await until("#log");
    return { focus, first, said };
  },

  // What an update costs where there is much to show, in milliseconds of the page's thread: its own work, and
  // all of it, with layout and painting. It is the thread's time: a machine that is busy otherwise adds none.
  async crowd() {
    const page = await open();
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable", { timeDomain: "threadTicks" });
    await page.evaluate(() => {
      window.updates = 0;
      const observer = new PerformanceObserver((list) => (window.updates += list.getEntries().length));
      observer.observe({ entryTypes: ["measure"] });
    });
    await page.evaluate(() => (location.hash = "#/app/large"));
    await page.waitForFunction(() => document.querySelectorAll("#instances tr").length >= 900);
    const now = async () => {
      const { metrics } = await session.send("Performance.getMetrics");
      return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
    };
    const first = await page.evaluate(() => window.updates);
    const before = await now();
    await page.waitForFunction((first) => window.updates >= first + 12, first);
    const after = await now();
    const count = (await page.evaluate(() => window.updates)) - first;
    const each = (name) => Math.round(((after[name] - before[name]) * 1000) / count);
    if (folder) await page.screenshot({ path: `${folder}/crowd.png` });
    return {
      apps: await page.locator("#apps a").count(),
      rows: await page.locator("#instances tr").count(),
      script: each("ScriptDuration"),
      layout: each("LayoutDuration"),
      style: each("RecalcStyleDuration"),
      all: each("TaskDuration"),
    };
  },
};

try {
  const seen = await scenarios[scenario]();
  console.log(JSON.stringify({ ...seen, faults }));
} finally {
  await browser.close();
}
