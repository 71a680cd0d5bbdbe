//! Packed bodies: `Content-Encoding: gzip` or `zstd` is undone before anything else reads a body.
//!
//! A body is unpacked as it is read, piece by piece, so one that unpacks to more than it may is refused by whoever counts its bytes,
//! without being held. Members and frames that follow each other are one body; one that is cut off, or followed by anything
//! else, is an error where it ends, so nobody takes a part for the whole. A layer of [`super::middleware`].

use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::problem::{Kind, Problem};

/// What is understood, for `Accept-Encoding`.
const UNDERSTOOD: &str = "gzip, zstd";

/// The largest window of zstd, as a power of two: 8 MiB, what every decoder must support (RFC 8878) and what every level but
/// the `--ultra` ones stays within. It bounds the memory of a body that is being unpacked.
const LARGEST_WINDOW: u32 = 23;

/// Bytes that are unpacked at a time.
const PIECE: usize = 64 << 10;

/// Unpacks the body if it is packed.
pub async fn unpacked(mut request: Request, next: Next) -> Response {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    let (first, second) = (encodings.next(), encodings.next());
    let name = match (first.map(|value| value.to_str().unwrap_or_default().trim().to_ascii_lowercase()), second) {
        (None, _) => return next.run(request).await,
        (Some(_), Some(_)) => return not_understood().into_response(),
        (Some(name), None) => name,
    };
    let body = std::mem::take(request.body_mut());
    let packed = |body: Body| StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    *request.body_mut() = match name.as_str() {
        "identity" => body,
        "gzip" | "x-gzip" => {
            let mut decoder = GzipDecoder::new(packed(body));
            decoder.multiple_members(true);
            streamed(decoder)
        }
        "zstd" => {
            let mut decoder = ZstdDecoder::with_params(packed(body), &[DParameter::window_log_max(LARGEST_WINDOW)]);
            decoder.multiple_members(true);
            streamed(decoder)
        }
        _ => return not_understood().into_response(),
    };
    request.headers_mut().remove(header::CONTENT_ENCODING);
    // It said how long the packed body is.
    request.headers_mut().remove(header::CONTENT_LENGTH);
    next.run(request).await
}

fn streamed(decoder: impl AsyncRead + Send + 'static) -> Body {
    Body::from_stream(ReaderStream::with_capacity(decoder, PIECE))
}

fn not_understood() -> Problem {
    Problem::new(Kind::UnsupportedEncoding, format!("`content-encoding` must be one of {UNDERSTOOD}"))
        .with_header(header::ACCEPT_ENCODING, HeaderValue::from_static(UNDERSTOOD))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::BodyExt;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;
    use tower::ServiceExt;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        async_compression::tokio::bufread::ZstdEncoder::new(bytes).read_to_end(&mut packed).await.unwrap();
        packed
    }

    /// What a handler reads of a body that comes in pieces of this size; `None` if it breaks off.
    async fn read(encoding: &str, packed: &[u8], piece: usize) -> Option<Vec<u8>> {
        let read = async |body: Body| match body.collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(_) => b"broken".to_vec(),
        };
        let router: Router = Router::new().route("/", post(read)).layer(from_fn(unpacked));
        let pieces: Vec<_> =
            packed.chunks(piece).map(|piece| Ok::<_, std::convert::Infallible>(piece.to_vec())).collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let request = Request::post("/").header("content-encoding", encoding).body(body).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (bytes != b"broken"[..]).then(|| bytes.to_vec())
    }

    #[tokio::test]
    async fn members_and_frames_that_follow_each_other_are_one_body() {
        for piece in [1, 7, 10_000] {
            let both = [gzip(b"one, "), gzip(b"two")].concat();
            assert_eq!(read("gzip", &both, piece).await.as_deref(), Some(&b"one, two"[..]));
            let both = [zstd(b"one, ").await, zstd(b"two").await].concat();
            assert_eq!(read("ZSTD", &both, piece).await.as_deref(), Some(&b"one, two"[..]));
            assert_eq!(read("identity", b"plain", piece).await.as_deref(), Some(&b"plain"[..]));
        }
    }

    #[tokio::test]
    async fn a_packed_body_that_is_cut_off_or_goes_on_as_something_else_is_never_taken_for_whole() {
        let text = b"some text that is long enough to be packed, some text that is long enough".repeat(20);
        for (encoding, packed) in [("gzip", gzip(&text)), ("zstd", zstd(&text).await)] {
            for piece in [5, 10_000] {
                assert_eq!(read(encoding, &packed, piece).await.as_deref(), Some(&text[..]));
                for cut in 1..packed.len() {
                    assert_eq!(read(encoding, &packed[..cut], piece).await, None, "{encoding} cut at {cut}");
                }
                let trailed = [&packed[..], b"and something else"].concat();
                assert_eq!(read(encoding, &trailed, piece).await, None, "{encoding} with a trail");
                assert_eq!(read(encoding, b"no packed body at all", piece).await, None);
            }
        }
    }

    #[tokio::test]
    async fn an_encoding_that_is_not_understood_says_which_are() {
        for encoding in ["br", "gzip, zstd", "", "\u{e9}"] {
            let router: Router = Router::new().route("/", post(async || "read")).layer(from_fn(unpacked));
            let value = HeaderValue::from_bytes(encoding.as_bytes()).unwrap();
            let request = Request::post("/").header("content-encoding", value).body(Body::empty()).unwrap();
            let response = router.oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), 415, "{encoding:?}");
            assert_eq!(response.headers()["accept-encoding"], "gzip, zstd");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_damaged_body_is_an_error_or_other_bytes_and_never_a_panic(
            text in prop::collection::vec(any::<u8>(), 1..300),
            at in any::<prop::sample::Index>(),
            mask in 1u8..,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                for (encoding, mut packed) in [("gzip", gzip(&text)), ("zstd", zstd(&text).await)] {
                    let index = at.index(packed.len());
                    packed[index] ^= mask;
                    let _ = read(encoding, &packed, 50).await;
                }
            });
        }
    }
}
