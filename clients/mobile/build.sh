#!/bin/sh
# Builds the library for this machine and writes the Kotlin and Swift that call it, into clients/mobile/build.
# For a phone: cargo build --release --locked -p aegis-mobile --target aarch64-linux-android (or aarch64-apple-ios), and the same sources.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../core-native"
cargo build --release --locked -p aegis-mobile
cargo build --profile tool --locked -p mobile-bindings
target=${CARGO_TARGET_DIR:-target}
case "$(uname -s)" in
Darwin) library=libaegis_mobile.dylib ;;
*) library=libaegis_mobile.so ;;
esac
out="$here/build"
mkdir -p "$out"
cp "$target/release/$library" "$out/"
for language in kotlin swift; do
  "$target/tool/mobile-bindings" generate --library "$out/$library" --language "$language" --no-format --out-dir "$out/$language"
done
