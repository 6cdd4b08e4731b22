#!/usr/bin/env bash
# release-notes.sh TAG: prints what CHANGELOG.md says of a version, if the tag v1.2.3 fits the version
# in Cargo.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "error: $*" >&2
    exit 1
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
[ "$1" = "v$version" ] || fail "the tag is $1, and Cargo.toml has version $version"
notes=$(sed -n "/^## ${version//./\\.}\( \|\$\)/,/^## /{/^## /d;p}" CHANGELOG.md)
[ -n "${notes//[$'\n' ]/}" ] ||
    fail "CHANGELOG.md has no section \"## $version\": rename \"## Unreleased\" to it"
echo "$notes"
