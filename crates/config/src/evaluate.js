// Evaluates a config file, and writes what it exports, as JSON, to descriptor 0: a pipe that the
// file's own console.log does not reach.
import { writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const path = process.env.MAITRED_CONFIG;
const environment = process.env.MAITRED_CONFIG_ENV;
delete process.env.MAITRED_CONFIG;
delete process.env.MAITRED_CONFIG_ENV;
// Node gives these to a program of --eval alone. A CommonJS file that Node takes for an ES module
// would write its exports there, and nothing would come of it: without them Node says what is wrong.
for (const name of ["module", "exports", "require"]) delete globalThis[name];

const exported = await import(pathToFileURL(path).href);
let config = exported.default ?? exported["module.exports"] ?? { ...exported };
const computed = typeof config === "function";
config = await (computed ? config(environment) : config);
// A CommonJS file that was compiled from an ES module.
if (config?.__esModule && config.default) config = await config.default;

const odd = (what) => ({ "[odd]": what });
if (computed && config === undefined) {
  config = odd("a function that returns nothing: add `return`, or parentheses around the object after =>");
}
const plain = function (key, value) {
  const original = this[key];
  if (original instanceof RegExp) return `regex:${original.source}`;
  switch (typeof value) {
    case "bigint": return String(value);
    case "function": return odd("a function");
    case "symbol": return odd("a symbol");
    case "number": return Number.isFinite(value) ? value : odd(String(value));
    default: return value;
  }
};

let text;
try {
  text = JSON.stringify(config, plain);
} catch (error) {
  console.error(`what it exports cannot be written as JSON: ${error.message}`);
  process.exit(1);
}
const bytes = Buffer.from(text ?? "null");
for (let at = 0; at < bytes.length; ) at += writeSync(0, bytes, at);
process.exit(0);
