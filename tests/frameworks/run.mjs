// Runs real frameworks under maitred, three workers each, per connection and per request: requests at
// once have to reach all workers, those of three clients to be spread evenly, and none may be lost while
// the app is reloaded. `node run.mjs [part of a name]…`; MAITRED names the program.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { cases } from "./cases.mjs";
import { Load, allAnswer, ask, rounds, shares } from "./clients.mjs";
import { poll } from "./polling.mjs";

const WORKERS = 3;
const ROUNDS = 10;
// A worker that other programs keep from its processor may be passed over: tests of each runtime, which
// wait until all is at rest, ask for all.
const EXACT = 8;

const maitred = process.env.MAITRED;
if (!maitred) throw new Error("MAITRED has to name the program");
const run = promisify(execFile);

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.on("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function until(holds) {
  const end = Date.now() + 60_000;
  while (!(await holds())) if (Date.now() > end) throw new Error("not all workers listen after 60 s");
}

/** A row of the table, and what is wrong with it. */
async function play(name, per, folder) {
  const port = await freePort();
  const path = join(folder, "app.sock");
  const it = cases(port, path).find((it) => it.name === name);
  const env = { ...process.env, ...it.env, PORT: `${port}`, MAITRED_HOME: join(folder, "home") };
  const command = (...words) => run(maitred, words, { env, cwd: it.cwd, timeout: 120_000 });
  const door = { port, socket: it.socket };
  const row = { framework: name, per };
  const faults = [];
  const sticky = it.polling ? ["--balance", per === "request" ? "sticky" : "ip_hash"] : [];
  const interpreter = it.interpreter ? ["--interpreter", it.interpreter] : [];
  const options = ["--name", "app", "-i", `${it.count}`, "--per", per, "--cwd", it.cwd];
  const words = [...options, ...interpreter, ...(it.options ?? []), ...sticky];
  try {
    await command("start", it.script, ...words, "--", ...it.words);
    if (it.polling) {
      // A client that always comes to the same worker does not tell.
      await until(async () => (await command("describe", "app")).stdout.includes(`(${WORKERS})`));
      const sessions = await poll(port, 12);
      const workers = new Set(sessions.flat());
      row.rounds = `${sessions.filter((pids) => pids.length === 1).length} of 12 sessions`;
      if (sessions.some((pids) => pids.length !== 1)) faults.push("a session has moved");
      if (workers.size !== WORKERS) faults.push(`${workers.size} workers have sessions`);
    } else {
      await allAnswer(door, WORKERS);
      const exact = await rounds(door, WORKERS, ROUNDS);
      row.rounds = `${exact} of ${ROUNDS}`;
      if (exact < EXACT) faults.push("a worker was passed over");
      const each = await shares(door, WORKERS);
      row.shares = each.join(", ");
      const even = each.length === WORKERS && each[0] >= 25;
      if (!even) faults.push("requests are not spread evenly");
      const before = await ask(door);
      const loads = [new Load(door, false, 4), new Load(door, true, 4)];
      await command("reload", "app");
      await Promise.all(loads.map((load) => load.end()));
      const [single, kept] = loads;
      row.lost = `${single.lost.length} of ${single.lost.length + single.answered}`;
      row.lostKept = `${kept.lost.length} of ${kept.lost.length + kept.answered}`;
      const lost = new Set(loads.flatMap((load) => load.lost));
      if (lost.size > 0) faults.push(`lost: ${[...lost].slice(0, 3).join("; ")}`);
      if ((await ask(door)) === before && it.count === 1) faults.push("it was not reloaded");
    }
  } catch (error) {
    faults.push(`${error.message}\n${error.stderr ?? ""}`.trim());
  }
  if (faults.length > 0) {
    const logs = await command("logs", "app", "--nostream", "--lines", "15").catch((error) => error);
    row.logs = logs.stdout;
  }
  await command("kill").catch((error) => faults.push(error.message));
  return { row, faults };
}

const wanted = process.argv.slice(2);
const names = cases(0, "").map((it) => it.name);
const chosen = names.filter((name) => wanted.every((part) => name.includes(part)));
const failed = [];
console.log("framework | per | rounds | shares | lost at reload | lost on kept connections");
console.log("---|---|---|---|---|---");
for (const name of chosen) {
  for (const per of ["connection", "request"]) {
    const folder = mkdtempSync(join(tmpdir(), "maitred-frameworks-"));
    const { row, faults } = await play(name, per, folder);
    rmSync(folder, { recursive: true, force: true });
    const cells = [row.framework, row.per, row.rounds, row.shares, row.lost, row.lostKept];
    console.log(cells.map((cell) => cell ?? "-").join(" | "));
    if (faults.length > 0) failed.push({ name, per, faults, logs: row.logs });
  }
}
for (const { name, per, faults, logs } of failed) {
  console.error(`\n${name}, per ${per}: ${faults.join("; ")}\n${logs ?? ""}`);
}
process.exitCode = failed.length > 0 ? 1 : 0;
