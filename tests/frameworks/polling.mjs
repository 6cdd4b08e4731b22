// Socket.IO's long polling: a session is many requests, which all have to reach one worker.
import http from "node:http";
import { io } from "socket.io-client";

/** Clients with different addresses, which ask 20 times each over HTTP polling. What each got. */
export function poll(port, clients) {
  const sessions = Array.from({ length: clients }, (_, number) => {
    const agent = new http.Agent({ keepAlive: true, localAddress: `127.0.0.${number + 2}` });
    const options = { transports: ["polling"], reconnection: false, forceNew: true };
    const socket = io(`http://127.0.0.1:${port}`, { ...options, agent, withCredentials: true });
    return new Promise((resolve, reject) => {
      socket.on("connect_error", reject);
      socket.on("disconnect", (reason) => {
        if (reason !== "io client disconnect") reject(new Error(reason));
      });
      socket.on("connect", async () => {
        const pids = new Set();
        for (let question = 0; question < 20; question++) {
          pids.add((await socket.timeout(10_000).emitWithAck("who")).pid);
        }
        socket.disconnect();
        agent.destroy();
        resolve([...pids]);
      });
    });
  });
  return Promise.all(sessions);
}
