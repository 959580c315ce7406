//! Long answers packed with gzip, for clients that ask for it.
//!
//! It is done by whichever thread made the answer, never by the replier, and never to the answer of
//! a submit: there a client waits for the disk and for nothing else.

use std::borrow::Cow;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tiny_http::Method;

use super::desk::Open;
use super::reply::Reply;

/// Shorter bodies fit into a packet anyway.
const BYTES_MIN: usize = 1024;

/// Packs the answer, if it is long and wished for so.
pub(super) fn pack(open: &Open, reply: &mut Reply) {
    let looks = matches!(open.request.method(), Method::Get | Method::Head);
    if !looks || reply.body.len() <= BYTES_MIN || !reply.media.is_text() {
        return;
    }
    reply.heads.push(("Vary", Cow::Borrowed("Accept-Encoding")));
    if !open.head("Accept-Encoding").is_some_and(takes_gzip) {
        return;
    }
    let mut packer = GzEncoder::new(Vec::with_capacity(reply.body.len() / 4), Compression::fast());
    // Writing into memory does not fail; if it did, the answer goes as it is.
    let packed = packer.write_all(&reply.body).and_then(|()| packer.finish());
    if let Ok(packed) = packed {
        reply.body = packed;
        reply.heads.push(("Content-Encoding", Cow::Borrowed("gzip")));
    }
}

fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts
            .filter_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")))
            .any(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_ask_for_it() {
        for good in ["gzip", "deflate, GZIP;q=0.5", "br,gzip"] {
            assert!(takes_gzip(good), "{good}");
        }
        for bad in ["", "br", "gzip;q=0", "xgzip", "deflate, gzip; q=0.0"] {
            assert!(!takes_gzip(bad), "{bad}");
        }
    }
}
