// page.mjs CHROMIUM URL RUNS [USES]: opens the demo page in a real browser, and prints what it saw, one
// line of JSON a run: {"kind": "visit" | "reload" | "button", "results": [...], "verdict": "..."}.
//
// First RUNS visits, each in a context of its own (so without connections left over); then one
// more, and USES by reload and by the page's button in turn (so over kept connections), half as many
// as RUNS if that is not told.
import { chromium } from "playwright-core";

const [executablePath, url, runs, uses = runs / 2] = process.argv.slice(2);

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

async function report(kind, page) {
  await page.waitForFunction(() => document.body.dataset.verdict !== undefined);
  const seen = await page.evaluate(() => ({ results: window.results, verdict: document.body.dataset.verdict }));
  console.log(JSON.stringify({ kind, ...seen }));
}

try {
  for (let run = 0; run < runs; run++) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(url);
    await report("visit", page);
    await context.close();
  }

  const page = await (await browser.newContext()).newPage();
  await page.goto(url);
  await report("visit", page);
  for (let run = 0; run < uses; run++) {
    if (run % 2 === 0) {
      await page.reload();
      await report("reload", page);
    } else {
      await page.click("#again");
      await report("button", page);
    }
  }
} finally {
  await browser.close();
}
