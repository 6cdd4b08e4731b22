#!/usr/bin/env bash
# setup-npm.sh FOLDER COMMAND...: installs what FOLDER/package-lock.json pins into
# FOLDER/node_modules, unless that very lock file was installed before, and checks that each
# COMMAND came with it.
set -euo pipefail

folder=$1
shift

fail() {
    echo "error: $*" >&2
    exit 1
}

command -v node >/dev/null || fail "node is missing, and with it npm: install Node.js 20 or newer."
command -v npm >/dev/null || fail "npm is missing: install it (it comes with Node.js 20 or newer)."
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "node $(node --version) is too old: install Node.js 20 or newer."

cd "$folder"
wanted=$(cat package.json package-lock.json | sha256sum)
stamp=node_modules/.installed
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
    echo "Installing ${*:-what $folder/package.json names} from npm into $folder/node_modules (nothing outside of it is changed)"
    npm ci || fail "npm could not install ${*:-it all} into $folder/node_modules; its message is above."
fi

# Bun's and Deno's packages hold a stub until their install script has put the program in its
# place. Where npm is told to run no such scripts, that shows here and not in a hundred tests. (pm2
# is not asked for its version: it would start its daemon in the user's home to tell it.)
for command in "$@"; do
    node_modules/.bin/"$command" --version >/dev/null 2>&1 ||
        fail "$command was installed into $folder/node_modules, but does not start. \
Did npm skip its install script (npm config get ignore-scripts)?"
done
echo "$wanted" >"$stamp"
