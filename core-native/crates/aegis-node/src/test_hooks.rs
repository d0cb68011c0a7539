//! Failures on demand, for the bridging test. They refuse to work unless the process runs with `AEGIS_CORE_TEST_HOOKS=1`, and the typed
//! face does not offer them. (Not a cargo feature: the test shall run against the very file that ships.)

use aegis_core::{Code, Error, Result};
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop};

#[napi(catch_unwind)]
pub fn test_panic_on_loop() -> napi::Result<()> {
    on_loop(|| allowed().map(|()| panic!("on the loop")))
}

#[napi(catch_unwind)]
pub fn test_panic_off_loop() -> Promised<()> {
    off_loop(|| allowed().map(|()| panic!("off the loop")), |()| ())
}

/// A panic that only the macro's own guard stands before.
#[napi(catch_unwind)]
pub fn test_panic_unguarded() {
    if allowed().is_ok() {
        panic!("unguarded");
    }
}

/// Every code of the core, in order.
#[napi(catch_unwind)]
pub fn test_all_codes() -> Vec<String> {
    Code::ALL.iter().map(|code| code.as_str().to_string()).collect()
}

#[napi(catch_unwind)]
pub fn test_fail_on_loop(code: String) -> napi::Result<()> {
    on_loop(|| Err(error(&code)))
}

#[napi(catch_unwind)]
pub fn test_fail_off_loop(code: String) -> Promised<()> {
    off_loop(move || Err(error(&code)), |()| ())
}

fn allowed() -> Result<()> {
    match std::env::var("AEGIS_CORE_TEST_HOOKS").as_deref() {
        Ok("1") => Ok(()),
        _ => Err(Error::new(Code::Argument, "test hooks are off")),
    }
}

fn error(wanted: &str) -> Error {
    let code = Code::ALL.into_iter().find(|code| code.as_str() == wanted).unwrap_or(Code::Argument);
    Error::new(code, "as asked").with("tensor", "layer \"1\"\n").with("got", "(4,)")
}
