#!/bin/sh
# Builds the OpenTelemetry collector of deploy/observability/otelcol/builder.yaml at .cache/bin/otelcol-aegis, from Go modules: some minutes, once.
# AEGIS_OTELCOL names one that is there already.
set -eu
version=0.155.0
root=$(cd "$(dirname "$0")/.." && pwd)
target="$root/.cache/bin/otelcol-aegis"
[ -x "$target" ] && exit 0
mkdir -p "$root/.cache/bin"
if [ -n "${AEGIS_OTELCOL:-}" ]; then
  ln -sf "$AEGIS_OTELCOL" "$target"
  exit 0
fi
command -v go >/dev/null || { echo "otelcol: needs Go 1.24 or newer, or AEGIS_OTELCOL=/path/to/otelcol-contrib" >&2; exit 3; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$root/deploy/observability/otelcol/builder.yaml" "$work/builder.yaml"
cd "$work"
GOBIN="$work" CGO_ENABLED=0 go install "go.opentelemetry.io/collector/cmd/builder@v$version"
CGO_ENABLED=0 ./builder --config builder.yaml >build.log 2>&1 || { tail -n 20 build.log >&2; exit 1; }
mv otelcol-aegis "$target"
