#!/usr/bin/env bash
# test-as-user.sh: runs maitred's end-to-end tests once more as an ordinary user.
#
# Much of what maitred does is allowed to root and not to others, and the other way round: ports
# below 1024, reading another process's state, file limits. So both have to pass. An ordinary user
# has just run them; only root, as in a container, has somebody else to become.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
    echo "Not root: the tests above have already run as an ordinary user."
    exit 0
fi

user=65534 # nobody
command -v setpriv >/dev/null || {
    echo "error: setpriv is missing (Debian: util-linux); it runs the tests as an ordinary user." >&2
    exit 1
}

# That user may not be able to read this checkout, nor the PATH of whoever runs this.
place=$(mktemp -d "${TMPDIR:-/tmp}/maitred-user.XXXXXX")
trap 'rm -rf "$place"' EXIT
mkdir "$place/bin" "$place/repo" "$place/home" "$place/tmp"
chown "$user:$user" "$place/home" "$place/tmp"
chmod 755 "$place"
path=$place/repo/tests/tools/node_modules/.bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
nobody() {
    setpriv --reuid=$user --regid=$user --clear-groups --inh-caps=-all -- \
        env -i PATH="$path" HOME="$place/home" TMPDIR="$place/tmp" LANG=C.UTF-8 "$@"
}

# The programs that `cargo test` has built already: maitred, and one a test file.
artifacts=$(cargo test --quiet --package maitred --tests --no-run --message-format=json)
list() {
    node -e '
        const kind = process.argv[1];
        for (const line of require("fs").readFileSync(0, "utf8").split("\n")) {
            if (!line.startsWith("{")) continue;
            const { executable, target, profile } = JSON.parse(line);
            if (executable && target.kind.includes(kind) && profile.test === (kind === "test")) {
                console.log(`${target.name} ${executable}`);
            }
        }' "$1" <<<"$artifacts"
}
while read -r name file; do cp "$file" "$place/bin/$name"; done < <(list bin)
tests=()
while read -r name file; do
    cp "$file" "$place/bin/test-$name"
    tests+=("$name")
done < <(list test)
[ ${#tests[@]} -gt 0 ] || {
    echo "error: cargo named no end-to-end tests of maitred." >&2
    exit 1
}

cp -r examples docs deploy "$place/repo/"
mkdir -p "$place/repo/tests" "$place/repo/crates/maitred/tests" "$place/repo/packaging"
cp -r packaging/npm "$place/repo/packaging/"
cp -r crates/maitred/tests/snapshots "$place/repo/crates/maitred/tests/"
if nobody test -x "$PWD/tests/tools/node_modules/.bin/bun"; then
    ln -s "$PWD/tests/tools" "$place/repo/tests/tools"
else
    cp -a tests/tools "$place/repo/tests/tools"
fi
chmod -R a+rX "$place/bin" "$place/repo"

# Fewer rounds than as root, to keep the whole run short: what differs between the two is what
# is allowed, not what is dealt out.
failed=()
for name in "${tests[@]}"; do
    echo "As an ordinary user: $name"
    (cd "$place/tmp" && nobody \
        MAITRED_TEST_EXE="$place/bin/maitred" MAITRED_TEST_REPO="$place/repo" \
        MAITRED_TEST_ROUNDS="${MAITRED_TEST_ROUNDS:-10}" \
        "$place/bin/test-$name" "$@") || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || {
    echo "error: these fail as an ordinary user: ${failed[*]}" >&2
    exit 1
}
