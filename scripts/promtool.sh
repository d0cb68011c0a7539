#!/bin/sh
# Puts promtool, out of Debian's package prometheus, at .cache/bin/promtool; nothing is installed and no server is started.
# Exits with 3, and says why, where there is no apt or no such package for this machine.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
target="$root/.cache/bin/promtool"
[ -x "$target" ] && exit 0
if found=$(command -v promtool); then
  mkdir -p "$root/.cache/bin"
  ln -sf "$found" "$target"
  exit 0
fi
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "promtool: needs apt-get and dpkg-deb, or promtool on the PATH" >&2; exit 3; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$root/.cache/bin"
cd "$work"
if ! apt-get -qq download prometheus >apt.log 2>&1; then
  apt-get -qq update >>apt.log 2>&1 || true
  apt-get -qq download prometheus >>apt.log 2>&1 || { echo "promtool: apt has no package prometheus: $(tail -n 1 apt.log)" >&2; exit 3; }
fi
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xf - ./usr/bin/promtool
mv usr/bin/promtool "$target"
