#!/usr/bin/env bash
# reproduce.sh [DIST]: builds the commit of this checkout once more, from a clone at another path, and
# compares all packages with those in DIST (dist), byte by byte.
set -euo pipefail
cd "$(dirname "$0")/.."

dist=$(realpath "${1:-dist}")
[ -e "$dist/SHA256SUMS" ] || {
    echo "error: $dist holds no packages; run make package first" >&2
    exit 1
}
[ -z "$(git status --porcelain)" ] || {
    echo "error: this checkout has changes that are not committed, and a clone has not" >&2
    exit 1
}
elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
git clone --quiet . "$elsewhere/checkout"
"$elsewhere/checkout/scripts/package.sh" "$elsewhere/dist"
# All files, SHA256SUMS among them.
diff --recursive --brief "$dist" "$elsewhere/dist"
echo "the same bytes, built in $elsewhere"
