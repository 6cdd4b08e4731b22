// A registry with the npm packages of a folder and nothing else. Prints its address; ends with its
// standard input.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { execFileSync } from "node:child_process";

const folder = process.argv[2];
const packages = new Map();
for (const file of readdirSync(folder).filter((name) => name.endsWith(".tgz"))) {
  const path = join(folder, file);
  const manifest = JSON.parse(execFileSync("tar", ["-xzOf", path, "package/package.json"]));
  packages.set(manifest.name, { manifest, file, data: readFileSync(path) });
}

const digest = (data, kind, form) => createHash(kind).update(data).digest(form);

const server = createServer((request, response) => {
  const name = decodeURIComponent(request.url.slice(1));
  const asked = [...packages.values()].find((it) => it.file === name);
  if (asked) return response.end(asked.data);
  const found = packages.get(name);
  if (!found) return response.writeHead(404).end("{}");
  const { manifest, file, data } = found;
  const dist = {
    tarball: `http://${request.headers.host}/${file}`,
    integrity: `sha512-${digest(data, "sha512", "base64")}`,
    shasum: digest(data, "sha1", "hex"),
  };
  const { version } = manifest;
  const versions = { [version]: { ...manifest, dist } };
  const time = { [version]: "2020-01-01T00:00:00.000Z" };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ name: manifest.name, "dist-tags": { latest: version }, versions, time }));
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
process.stdin.resume().on("end", () => process.exit());
