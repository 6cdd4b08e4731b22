// What a config file may import. maitred itself is an executable: see bin/maitred.bin.
"use strict";

/** Returns the config as it is; its types are in index.d.ts. */
exports.defineConfig = (config) => config;
