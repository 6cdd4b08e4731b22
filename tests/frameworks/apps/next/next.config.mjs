import { fileURLToPath } from "node:url";

// The folder with the node_modules, and not one further up that happens to have a lock file.
const root = fileURLToPath(new URL("../..", import.meta.url));
export default { turbopack: { root }, outputFileTracingRoot: root };
