#!/usr/bin/env bash
# The suite as it was at REV, ready to run, under .cache/skew/<commit>. Prints the folder on stdout and nothing else; repeats cost nothing.
#
#   scripts/skew-worktree.sh v0.3.0
set -euo pipefail

die() { echo "skew-worktree: $*" >&2; exit 1; }

[ $# -eq 1 ] || die "usage: scripts/skew-worktree.sh REV"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
commit=$(git -C "$root" rev-parse --verify --quiet "$1^{commit}") || die "there is no revision '$1'"
tree=$root/.cache/skew/$commit
if [ ! -e "$tree/.ready" ]; then
  [ -d "$tree" ] || git -C "$root" worktree add --quiet --detach "$tree" "$commit" >&2
  cd "$tree"
  if cmp -s package-lock.json "$root/package-lock.json"; then
    # links of our own packages are relative: they lead to the old sources
    cp -al "$root/node_modules" node_modules
  else
    "$root/scripts/npm.sh" ci --no-audit --no-fund --loglevel=error >&2
  fi
  if git -C "$root" diff --quiet "$commit" -- core-native; then
    cp "$root"/core-native/npm/*.node core-native/npm/
  else
    CARGO_TARGET_DIR=$root/.cache/skew/target sh core-native/npm/build.sh >&2
  fi
  touch .ready
fi
echo "$tree"
