//! The three crossings every function makes: errors out, numbers in, work off the event loop.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aegis_core::intake::Piece;
use aegis_core::{Code, Error, Result};
use napi::bindgen_prelude::{AsyncTask, Buffer, ToNapiValue, TypeName};
use napi::{Env, Task};
use serde_json::json;

/// A core error as the JSON that `npm/index.ts` rebuilds a CoreError from. Nobody parses the sentence inside.
pub fn to_napi(error: Error) -> napi::Error {
    let detail: serde_json::Map<_, _> =
        error.detail.into_iter().map(|(name, value)| (name.to_string(), value.into())).collect();
    napi::Error::from_reason(
        json!({ "code": error.code.as_str(), "message": error.message, "detail": detail }).to_string(),
    )
}

/// Runs `work` and turns a panic into an error, so that no defect of ours takes the process down.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(panic_error(payload.as_ref())))
}

/// For functions that answer on the event loop: short ones only.
pub fn on_loop<T>(work: impl FnOnce() -> Result<T>) -> napi::Result<T> {
    guarded(work).map_err(to_napi)
}

fn panic_error(payload: &(dyn Any + Send)) -> Error {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::new(Code::Panic, "the core panicked; this is a bug").with("panic", text)
}

type Work<T> = Box<dyn FnOnce() -> Result<T> + Send>;

/// Work for libuv's pool and the conversion of its result, which runs on the event loop again.
pub struct Job<T, J> {
    work: Option<Work<T>>,
    convert: fn(T) -> J,
}

pub type Promised<T, J = T> = AsyncTask<Job<T, J>>;

/// Everything `work` needs is owned by it before it is queued; buffers are referenced, not copied.
pub fn off_loop<T, J>(work: impl FnOnce() -> Result<T> + Send + 'static, convert: fn(T) -> J) -> Promised<T, J>
where
    T: Send + 'static,
    J: ToNapiValue + TypeName + 'static,
{
    AsyncTask::new(Job { work: Some(Box::new(work)), convert })
}

impl<T: Send + 'static, J: ToNapiValue + TypeName + 'static> Task for Job<T, J> {
    type Output = T;
    type JsValue = J;

    fn compute(&mut self) -> napi::Result<T> {
        let work = self.work.take().unwrap_or_else(|| Box::new(|| Err(Error::new(Code::Panic, "a job ran twice"))));
        guarded(work).map_err(to_napi)
    }

    fn resolve(&mut self, _env: Env, output: T) -> napi::Result<J> {
        Ok((self.convert)(output))
    }
}

/// A JavaScript number as a length or offset.
pub fn whole(name: &'static str, number: f64) -> Result<u64> {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    if (0.0..=SAFE).contains(&number) && number.fract() == 0.0 {
        return Ok(number as u64);
    }
    Err(Error::new(Code::Argument, "a whole number from 0 to 2^53 - 1 is needed")
        .with("argument", name)
        .with("got", number))
}

pub fn pieces(buffers: Vec<Buffer>) -> Vec<Piece> {
    buffers.into_iter().map(|buffer| Box::new(buffer) as Piece).collect()
}
