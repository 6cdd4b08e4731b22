// What every example does for a request to /api: a piece of work that keeps the event loop
// busy, so that nobody else is served meanwhile. Runs unchanged in Bun, Node and Deno.
import process from "node:process";

/**
 * Works for `?ms=` milliseconds (1000 unless told) and tells who did it.
 *
 * The work is measured in wall-clock time. `?how=spin` (the default) computes all the while;
 * `?how=sleep` blocks the loop just as long without using a CPU, for machines with fewer CPUs
 * than workers.
 *
 * @param {URLSearchParams} query
 * @param {string | number} instance the name of this worker
 */
export function work(query, instance = process.env.NODE_APP_INSTANCE ?? "0") {
  const ms = Number(query.get("ms") ?? 1000);
  if (query.get("how") === "sleep") {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  } else {
    const end = performance.now() + ms;
    while (performance.now() < end);
  }
  return { instance: String(instance), pid: process.pid, ms };
}
