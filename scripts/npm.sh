#!/bin/sh
# npm, run by the node that it came with, as `make setup` runs it: the project's own may not know the certificates that this machine trusts.
root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$(printf %s "$PATH" | sed "s#$root/node_modules/.bin:##g") exec npm "$@"
