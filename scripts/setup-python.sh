#!/usr/bin/env bash
# setup-python.sh FOLDER: installs what FOLDER/requirements.txt pins from PyPI into FOLDER/python,
# unless that very list was installed before. Nothing outside of FOLDER is changed.
set -euo pipefail

cd "$1"
wanted=$(sha256sum <requirements.txt)
stamp=python/.installed
[ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ] || exit 0

echo "Installing what $1/requirements.txt names from PyPI into $1/python"
rm -rf python
# Wheels alone: nothing is built, and no code of a package runs.
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: \
    --require-hashes --target python --requirement requirements.txt || {
    echo "error: pip could not install $1/requirements.txt; its message is above." >&2
    exit 1
}
echo "$wanted" >"$stamp"
