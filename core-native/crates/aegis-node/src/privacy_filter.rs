//! The Rényi filter. Closed forms and one divergence: all of it answers on the event loop.

use aegis_core::privacy::accounting::{filter, parse_events};
use aegis_core::{Code, Error};
use napi_derive::napi;

use crate::bridge::on_loop;

#[napi(catch_unwind)]
pub fn privacy_filter_divergence(event: String, order: f64) -> napi::Result<f64> {
    on_loop(|| match parse_events(&format!("[{event}]"))?.as_slice() {
        [one] => filter::divergence(one, order),
        several => Err(Error::new(Code::Argument, "this takes one event").with("got", several.len() as u64)),
    })
}

#[napi(catch_unwind)]
pub fn privacy_filter_allowance(order: f64, epsilon: f64, delta: f64) -> napi::Result<f64> {
    on_loop(|| filter::allowance(order, epsilon, delta))
}

#[napi(catch_unwind)]
pub fn privacy_filter_epsilon(order: f64, spent: f64, delta: f64) -> napi::Result<f64> {
    on_loop(|| filter::epsilon(order, spent, delta))
}

#[napi(catch_unwind)]
pub fn privacy_filter_order(epsilon: f64, delta: f64) -> napi::Result<f64> {
    on_loop(|| filter::order_for(epsilon, delta))
}
