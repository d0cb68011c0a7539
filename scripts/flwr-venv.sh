#!/usr/bin/env bash
# One Python environment per flwr release, under .cache/flwr/<version>.
#
#   scripts/flwr-venv.sh 1.41.0 [extra packages …]
#
# Prints the environment's bin folder on stdout and nothing else. Repeats cost nothing: what is installed is written to
# a stamp file, and only missing packages are added. Safe to call from several processes at once.
#   AEGIS_PYTHON  interpreter to build from (default: the first python3 that is 3.10 or newer)
#   AEGIS_FLWR    folder of the environments (default: .cache/flwr at the repository root)
set -euo pipefail

die() { echo "flwr-venv: $*" >&2; exit 1; }

[ $# -ge 1 ] || die "usage: scripts/flwr-venv.sh VERSION [extra packages …]"
version=$1; shift
[[ $version =~ ^[0-9]+\.[0-9]+(\.[0-9]+)?$ ]] || die "not a release number: '$version'"
[[ $version =~ ^[0-9]+\.[0-9]+$ ]] && version="$version.0"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=${AEGIS_FLWR:-$root/.cache/flwr}
env=$home/$version
stamp=$env/.installed
mkdir -p "$home"

wanted=("flwr==$version" "numpy" "$@")
missing() {
  local package
  for package in "${wanted[@]}"; do
    grep -qxF -- "$package" "$stamp" 2>/dev/null || echo "$package"
  done
}

find_python() {
  local candidate
  for candidate in ${AEGIS_PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
      echo "$candidate"; return
    fi
  done
  die "needs Python 3.10 or newer with the venv module (Debian: apt-get install python3-venv); or set AEGIS_PYTHON"
}

if [ -n "$(missing)" ]; then
  python=$(find_python)
  # The lock belongs to descriptor 9, which this shell keeps open: it is released when the shell ends, however it ends.
  # (Python takes it because macOS has no flock command.)
  exec 9>"$home/.$version.lock"
  "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
  packages=(); while IFS= read -r line; do packages+=("$line"); done < <(missing)
  if [ ${#packages[@]} -gt 0 ]; then
    echo "flwr-venv: installing ${packages[*]} for flwr $version" >&2
    # An environment without a stamp was interrupted half-way: start it again.
    [ -s "$stamp" ] || "$python" -m venv --clear "$env" 9>&-
    log=$home/.$version.log
    # flwr is named again with the extras, so that they can never move its version.
    if ! "$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        "flwr==$version" "${packages[@]}" >"$log" 2>&1 9>&-; then
      cat "$log" >&2
      die "pip could not install ${packages[*]} (flwr $version)"
    fi
    printf '%s\n' "${packages[@]}" >>"$stamp"
  fi
fi

echo "$env/bin"
