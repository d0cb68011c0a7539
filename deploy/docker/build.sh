#!/bin/sh
# Builds aegis-service:local and aegis-nats:local without a registry. Run `make setup` first.
#   BASE=node:24-bookworm-slim deploy/docker/build.sh     to build on an image you have
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
stage="$root/.cache/image"
export DOCKER_BUILDKIT=0

if [ -z "${BASE:-}" ]; then
  # Node 24 with the shared libraries it needs, taken from this machine; no shell, no package manager.
  BASE=aegis-node:24
  base="$root/.cache/image-base"
  rm -rf "$base"
  mkdir -p "$base/rootfs/usr/local/bin" "$base/rootfs/tmp" "$base/rootfs/etc"
  chmod 1777 "$base/rootfs/tmp"
  node=$("$root/node_modules/.bin/node" -p 'process.execPath')
  cp "$node" "$base/rootfs/usr/local/bin/node"
  { ldd "$node"; ldd "$root/core-native/npm/aegis-node.node"; } | grep -o '/[^ ]*' | grep '\.so' | sort -u | while read -r library; do
    mkdir -p "$base/rootfs$(dirname "$library")"
    cp -L "$library" "$base/rootfs$library"
  done
  echo 'aegis:x:10001:10001::/app:' > "$base/rootfs/etc/passwd"
  printf 'FROM scratch\nCOPY rootfs /\nENV PATH=/usr/local/bin\n' > "$base/Dockerfile"
  docker build --quiet --tag "$BASE" "$base" > /dev/null
fi

mkdir -p "$stage"
rm -rf "$stage/packages" "$stage/services" "$stage/core-native"
mkdir -p "$stage/core-native"
cp "$root/package.json" "$root/package-lock.json" "$stage/"
cp -R "$root/packages" "$root/services" "$stage/"
cp -R "$root/core-native/npm" "$stage/core-native/npm"
# Of the other workspaces npm wants to see the manifests alone.
for workspace in cli agents/guard; do
  mkdir -p "$stage/$workspace" && cp "$root/$workspace/package.json" "$stage/$workspace/"
done
# Installing again is only needed when the lock file changed.
if ! cmp -s "$root/package-lock.json" "$stage/.lock-installed"; then
  (cd "$stage" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error)
  cp "$stage/package-lock.json" "$stage/.lock-installed"
fi
docker build --quiet --build-arg "BASE=$BASE" --tag aegis-service:local --file "$root/deploy/docker/Dockerfile" "$stage" > /dev/null

nats="$root/.cache/image-nats"
mkdir -p "$nats"
cp "$root/.cache/bin/nats-server" "$nats/"
docker build --quiet --tag aegis-nats:local --file "$root/deploy/docker/nats.Dockerfile" "$nats" > /dev/null
docker image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep '^aegis-'
