#!/usr/bin/env bash
# kubernetes-validate.sh OBJECTS.json VERSION…: checks a JSON list of objects against the schemas of these versions of Kubernetes.
# Prints "<n> fit", or what does not and exits with 1.
set -euo pipefail
version=1.37.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
env=$root/.cache/kubernetes-validate
mkdir -p "$root/.cache"
exec 9>"$root/.cache/kubernetes-validate.lock"
python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
if [ "$(cat "$env/.installed" 2>/dev/null)" != "$version" ]; then
  python3 -m venv --clear "$env"
  "$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "kubernetes-validate==$version"
  echo "$version" >"$env/.installed"
fi
exec 9>&-
exec "$env/bin/python" - "$@" <<'PY'
import json, sys
import kubernetes_validate

objects, fit, bad = json.load(open(sys.argv[1])), 0, 0
for version in sys.argv[2:]:
    for one in objects:
        try:
            kubernetes_validate.validate(one, version, strict=True)
            fit += 1
        except kubernetes_validate.ValidationError as error:
            bad += 1
            where = ".".join(str(part) for part in error.path)
            print(f"{version}: {one['kind']} {one['metadata']['name']}: {where}: {error.message}")
print(f"{fit} fit" + (f", {bad} do not" if bad else ""))
sys.exit(1 if bad else 0)
PY
