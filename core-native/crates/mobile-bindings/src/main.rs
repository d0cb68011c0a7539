//! `mobile-bindings generate --library LIBRARY --language kotlin|swift --out-dir FOLDER`: see clients/mobile/build.sh.

fn main() {
    uniffi::uniffi_bindgen_main();
}
