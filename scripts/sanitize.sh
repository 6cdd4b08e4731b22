#!/usr/bin/env bash
# sanitize.sh: runs the tests of what lives in foreign processes, the preload library and its messages,
# under AddressSanitizer. The library itself is built without a runtime, so these are its pure parts.
#
# The stable toolchain ships the sanitizer's runtime, but takes the flag for it only when it is told
# to behave as a nightly one; nothing that is shipped is built so.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" ASAN_OPTIONS=detect_leaks=0 \
    cargo test --quiet --package preload --package wire --tests --target "$host" --target-dir target/sanitize
