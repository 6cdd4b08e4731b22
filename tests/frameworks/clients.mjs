// Clients of an app: who answers them, and what is lost.
import http from "node:http";

/** Asks once, on a connection of its own or an agent's; who has answered. */
export function ask({ port, socket }, ms = 0, agent = false) {
  const to = socket ? { socketPath: socket } : { host: "127.0.0.1", port };
  return new Promise((resolve, reject) => {
    const options = { ...to, path: `/who?ms=${ms}`, agent, timeout: 30_000 };
    const request = http.get(options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (text += part));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode !== 200) reject(new Error(`${response.statusCode}: ${text}`));
        else resolve(JSON.parse(text).pid);
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer within 30 s")));
    request.on("error", reject);
  });
}

/** Waits until so many workers have answered. */
export async function allAnswer(door, workers) {
  const seen = new Set();
  const end = Date.now() + 60_000;
  while (seen.size < workers) {
    if (Date.now() > end) throw new Error(`${seen.size} of ${workers} workers answer after 60 s`);
    try {
      const pids = await Promise.all(Array.from({ length: 3 * workers }, () => ask(door, 20)));
      for (const pid of pids) seen.add(pid);
    } catch (error) {
      if (error.code !== "ECONNREFUSED" && error.code !== "ENOENT") throw error;
    }
  }
}

/** In how many of these rounds as many requests as there are workers, at once, went to all of them. */
export async function rounds(door, workers, count) {
  let exact = 0;
  for (let round = 0; round < count; round++) {
    const requests = Array.from({ length: workers }, () => ask(door, 60));
    exact += new Set(await Promise.all(requests)).size === workers;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return exact;
}

/** How many requests of so many clients, 50 each, one after the other, each worker got. */
export async function shares(door, clients) {
  const shares = new Map();
  const client = async () => {
    for (let number = 0; number < 50; number++) {
      const pid = await ask(door, 5);
      shares.set(pid, (shares.get(pid) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return [...shares.values()].sort((one, other) => one - other);
}

/** Clients that ask until they are told to stop, each request on a connection of its own or all on one. */
export class Load {
  lost = [];
  answered = 0;
  #over = false;
  #clients;

  constructor(door, kept, count) {
    this.#clients = Promise.all(Array.from({ length: count }, () => this.#client(door, kept)));
  }

  async #client(door, kept) {
    const agent = kept ? new http.Agent({ keepAlive: true, maxSockets: 1 }) : false;
    while (!this.#over) {
      try {
        await ask(door, 0, agent);
        this.answered += 1;
      } catch (error) {
        this.lost.push(error.message);
      }
    }
    if (agent) agent.destroy();
  }

  async end() {
    this.#over = true;
    await this.#clients;
  }
}
