//! What the system does with a TCP connection that ends, where Node offers no say.

use napi_derive::napi;

/// Whether closing the socket, also by the end of this process, resets the connection (RST) instead of ending it (FIN): `SO_LINGER`
/// of zero seconds. What was not sent yet is lost then. False: the system would not have it.
#[napi(catch_unwind)]
pub fn reset_on_close(fd: i32, on: bool) -> bool {
    set_linger(fd, on)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_linger(fd: i32, on: bool) -> bool {
    let linger = libc::linger { l_onoff: i32::from(on), l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap_or_default();
    // SAFETY: the pointer is to a live linger of that length; a descriptor that is none, or no socket, is an error and changes nothing.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), length) == 0 }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set_linger(_fd: i32, _on: bool) -> bool {
    false
}
