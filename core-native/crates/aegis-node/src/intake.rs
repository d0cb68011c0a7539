//! The intake log. Appends wait on the log's own writer thread, reads on libuv's pool.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aegis_core::hash::parse_sha256_hex;
use aegis_core::intake::{self, Done};
use aegis_core::{Code, Error, Result};
use napi::bindgen_prelude::{Buffer, Object};
use napi::{Env, JsDeferred};
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop, pieces, to_napi, whole};
use crate::memory;
use crate::seal::DataKey;

#[napi(object)]
pub struct LogEntry {
    pub id: String,
    pub kind: String,
    pub length: f64,
}

#[napi(js_name = "IntakeLog")]
pub struct IntakeLog(pub(crate) Arc<intake::IntakeLog>);

#[napi]
impl IntakeLog {
    #[napi(catch_unwind)]
    pub fn open(
        directory: String,
        key: &DataKey,
        epoch: f64,
        segment_bytes: Option<f64>,
    ) -> Promised<intake::IntakeLog, IntakeLog> {
        let key = key.0.clone();
        off_loop(
            move || {
                let epoch = whole("epoch", epoch)?;
                let segment_bytes = segment_bytes.map(|bytes| whole("segmentBytes", bytes)).transpose()?;
                intake::IntakeLog::open(&PathBuf::from(directory), &key, epoch, segment_bytes)
            },
            |log| IntakeLog(Arc::new(log)),
        )
    }

    #[napi(catch_unwind)]
    pub fn torn_bytes(&self) -> f64 {
        self.0.torn_bytes() as f64
    }

    /// Resolves with whether the record was there already.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean>")]
    pub fn append<'env>(
        &self,
        env: &'env Env,
        kind: String,
        id: String,
        buffers: Vec<Buffer>,
        expected_sha256: Option<String>,
    ) -> napi::Result<Object<'env>> {
        let (done, promise) = settle_on_loop(env, |appended: intake::Appended| appended.deduplicated)?;
        memory::passed(buffers.iter().map(|buffer| buffer.len() as u64).sum());
        match expected_sha256.map(|hex| parse_sha256_hex(&hex)).transpose() {
            Ok(expected) => self.0.append(&kind, &id, pieces(buffers), expected, done),
            Err(error) => done(Err(error)),
        }
        Ok(promise)
    }

    #[napi(catch_unwind)]
    pub fn has(&self, id: String) -> bool {
        self.0.has(&id)
    }

    #[napi(catch_unwind)]
    pub fn entries(&self, kind: Option<String>) -> napi::Result<Vec<LogEntry>> {
        on_loop(|| {
            let entries = self.0.entries(kind.as_deref()).into_iter();
            Ok(entries.map(|entry| LogEntry { id: entry.id, kind: entry.kind, length: entry.length as f64 }).collect())
        })
    }

    #[napi(catch_unwind)]
    pub fn read(&self, id: String, offset: Option<f64>, length: Option<f64>) -> Promised<Vec<u8>, Buffer> {
        let log = Arc::clone(&self.0);
        off_loop(
            move || {
                let offset = whole("offset", offset.unwrap_or(0.0))?;
                let length = length.map(|length| whole("length", length)).transpose()?;
                log.read(&id, offset, length)
            },
            Buffer::from,
        )
    }

    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let (done, promise) = settle_on_loop(env, |()| ())?;
        self.0.close(done);
        Ok(promise)
    }
}

type Resolver<J> = Box<dyn FnOnce(Env) -> napi::Result<J> + Send>;

/// A promise and the callback that settles it from any thread. A callback dropped uncalled — its thread panicked — rejects.
fn settle_on_loop<T: Send + 'static, J: napi::bindgen_prelude::ToNapiValue + Send + 'static>(
    env: &Env,
    convert: fn(T) -> J,
) -> napi::Result<(Done<T>, Object<'_>)> {
    let (deferred, promise) = env.create_deferred::<J, Resolver<J>>()?;
    let pending = Pending(Mutex::new(Some(deferred)));
    let done = move |result: Result<T>| pending.settle(result.map(convert));
    Ok((Box::new(done), promise))
}

struct Pending<J: napi::bindgen_prelude::ToNapiValue + Send + 'static>(Mutex<Option<JsDeferred<J, Resolver<J>>>>);

impl<J: napi::bindgen_prelude::ToNapiValue + Send + 'static> Pending<J> {
    fn settle(&self, result: Result<J>) {
        let deferred = self.0.lock().ok().and_then(|mut deferred| deferred.take());
        match (deferred, result) {
            (None, _) => {}
            (Some(deferred), Ok(value)) => deferred.resolve(Box::new(move |_| Ok(value))),
            (Some(deferred), Err(error)) => deferred.reject(to_napi(error)),
        }
    }
}

impl<J: napi::bindgen_prelude::ToNapiValue + Send + 'static> Drop for Pending<J> {
    fn drop(&mut self) {
        self.settle(Err(Error::new(Code::Panic, "the log's writer is gone; this is a bug")));
    }
}
