#!/bin/sh
# Builds the binding and puts it where index.ts looks for it. Needs cargo and a C compiler; does next to nothing when up to date.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
cargo build --release --locked -p aegis-node
case "$(uname -s)" in
Darwin) library=libaegis_node.dylib ;;
*) library=libaegis_node.so ;;
esac
built="${CARGO_TARGET_DIR:-target}/release/$library"
# A running process may have the old file mapped: replace the name, never the bytes.
if ! cmp -s "$built" "$here/aegis-node.node"; then
    cp "$built" "$here/.aegis-node.node.new"
    mv "$here/.aegis-node.node.new" "$here/aegis-node.node"
fi
