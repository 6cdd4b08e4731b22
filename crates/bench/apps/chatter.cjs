// Writes 10 MB of lines a second, by the clock: a late timer is made up for.
const LINE = "x".repeat(99) + "\n";
const BLOCK = LINE.repeat(1000);
const begun = Date.now();
let written = 0;
setInterval(() => {
  while (written < (Date.now() - begun) * 10_000) {
    process.stdout.write(BLOCK);
    written += BLOCK.length;
  }
}, 10);
