// leak.js HOW: waits until it is told (SIGUSR2), and then takes memory.
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const MB = 1024 * 1024;
const kept = [];

function take(megabytes) {
  kept.push(Buffer.alloc(megabytes * MB, 1));
}

const ways = {
  // As fast as it can, without ever coming back to its loop, and deaf to who asks it to end. (Where
  // the processor is emulated a look comes before it has taken much.)
  fast() {
    process.on("SIGINT", () => {});
    for (let taken = 0; taken < 4096; taken += 16) take(16);
  },
  slowly() {
    setInterval(() => take(4), 100);
  },
  // In a process that has left it: another session, and a parent that is gone.
  detached() {
    const script = `const kept = [];
      for (let i = 0; i < 30; i += 1) kept.push(Buffer.alloc(${4 * MB}, 1));
      setInterval(() => {}, 1000);`;
    spawn("setsid", ["--fork", process.execPath, "-e", script], { stdio: "ignore" });
  },
  never() {},
  // Not at all: what it reads is in the page cache.
  reading() {
    const file = fs.openSync("/var/tmp/large", "r");
    const buffer = Buffer.alloc(MB);
    while (fs.readSync(file, buffer) > 0);
    fs.writeFileSync("/run/has-read", "");
  },
};

process.on("SIGUSR2", ways[process.argv[2]]);
console.log("waits to be told");
setInterval(() => {}, 1000);
