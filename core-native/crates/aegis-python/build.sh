#!/bin/sh
# Builds the module and puts it where the Python package beside it finds it. Needs cargo and a C compiler; does next to nothing when up to date.
# A wheel for other places: `pip wheel core-native/crates/aegis-python` (by maturin, see pyproject.toml).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
cargo build --release --locked -p aegis-python
case "$(uname -s)" in
Darwin) library=libaegis_native.dylib ;;
*) library=libaegis_native.so ;;
esac
built="${CARGO_TARGET_DIR:-target}/release/$library"
module="$here/../../../clients/python/aegis_fl/src/aegis_native.abi3.so"
# A running process may have the old file mapped: replace the name, never the bytes.
if ! cmp -s "$built" "$module"; then
    cp "$built" "$module.new"
    mv "$module.new" "$module"
fi
