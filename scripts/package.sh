#!/usr/bin/env bash
# package.sh [OUT]: builds maitred for an old glibc, and makes all packages of it in OUT (dist): npm,
# PyPI, Debian, a tarball, a container image, a bill of materials and SHA256SUMS. The same commit
# gives the same bytes: no clock, path or user gets into them.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-dist}
# Debian 10, Ubuntu 18.10, RHEL 8 and what is later.
glibc=2.28
largest=$((8 << 20))
target=x86_64-unknown-linux-gnu
build=${PACKAGE_TARGET_DIR:-target/package}

fail() {
    echo "error: $*" >&2
    exit 1
}

commit=$(git rev-parse --short=12 HEAD)
[ -z "$(git status --porcelain)" ] || commit+=-dirty
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH MAITRED_COMMIT=$commit PYTHONDONTWRITEBYTECODE=1

scripts/setup-debian.sh pip3 cc readelf
scripts/setup-python.sh packaging
export CARGO_ZIGBUILD_ZIG_PATH=$PWD/packaging/python/ziglang/zig

# Paths of this machine are in no message of a panic, and in no symbol.
prefixes=("$PWD=/maitred" "${CARGO_HOME:-$HOME/.cargo}=/cargo")
for prefix in "${prefixes[@]}"; do
    RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$prefix"
    CFLAGS="${CFLAGS:-} -ffile-prefix-map=$prefix"
done
RUSTFLAGS=$RUSTFLAGS CFLAGS=$CFLAGS CARGO_TARGET_DIR=$build \
    packaging/python/bin/cargo-zigbuild rustc --locked --profile dist --package maitred --bin maitred \
    --target "$target.$glibc" -- -C link-arg=-Wl,-T,packaging/no-unwind.ld
executable=$build/$target/dist/maitred

newest=$(readelf --version-info --wide "$executable" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
[ "$(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -1)" = "GLIBC_$glibc" ] ||
    fail "$executable needs $newest, which is later than $glibc"
size=$(stat -c %s "$executable")
[ "$size" -le "$largest" ] || fail "$executable has $size bytes, and $largest are the most"

pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
"$executable" man "$pages"
rm -rf "$out"
mkdir -p "$out"
PYTHONPATH=packaging python3 -m pack "$executable" "$pages" "$commit" "$SOURCE_DATE_EPOCH" "$out"
echo "$out has $("$executable" --version), $size bytes, for glibc $newest and later"
