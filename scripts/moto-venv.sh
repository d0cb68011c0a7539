#!/usr/bin/env bash
# An S3 and KMS emulator (moto) under .cache/moto. Prints its program on stdout and nothing else; repeats cost nothing.
# Only what S3 and KMS need: moto's own [server] brings three times as much.
#   AEGIS_PYTHON  interpreter to build from (default: python3, 3.10 or newer)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
env=$root/.cache/moto
packages=("moto[s3]==5.2.5" "flask==3.1.2" "flask-cors==6.0.1")
stamp=$env/.installed
python=${AEGIS_PYTHON:-python3}

mkdir -p "$root/.cache"
exec 9>"$root/.cache/.moto.lock"
"$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
if [ "$(cat "$stamp" 2>/dev/null)" != "${packages[*]}" ]; then
  echo "moto-venv: installing ${packages[*]}" >&2
  "$python" -m venv --clear "$env" 9>&-
  if ! "$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${packages[@]}" \
      >"$root/.cache/moto.log" 2>&1 9>&-; then
    cat "$root/.cache/moto.log" >&2
    echo "moto-venv: pip could not install the emulator" >&2
    exit 1
  fi
  echo "${packages[*]}" >"$stamp"
fi
echo "$env/bin/moto_server"
