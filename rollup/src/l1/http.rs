//! HTTP with a bound on what a server may make us hold.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode, Url};

/// How long a whole exchange may take.
pub(super) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(12);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Bytes of an error page that are shown.
const SHOWN_BYTES: usize = 200;

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No connection, TLS failure, time-out, connection lost.
    #[error("{0}")]
    Transport(String),
    /// The server refuses the request.
    #[error("HTTP {status}: {text}")]
    Status {
        /// HTTP status.
        status: u16,
        /// Beginning of the body.
        text: String,
    },
    /// More bytes than such an answer may have.
    #[error("answer of more than {0} bytes")]
    TooLong(usize),
}

/// Why endpoints cannot be used, known before anything is asked of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an `http` or `https` URL.
    #[error("{0:?} is not an http:// or https:// URL")]
    InvalidUrl(String),
    /// An empty list of endpoints.
    #[error("no endpoint is given")]
    NoEndpoint,
    /// No HTTP client can be made. Most likely the machine has no CA certificates, and an endpoint is HTTPS.
    #[error(
        "cannot speak HTTPS: {0}; install the system's CA certificates (Debian: ca-certificates), \
         or use an http:// URL for a local endpoint"
    )]
    NoClient(String),
}

pub(super) fn parse_url(text: &str) -> Result<Url, EndpointError> {
    let invalid = || EndpointError::InvalidUrl(text.to_owned());
    let url = Url::parse(text).map_err(|_| invalid())?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(invalid()) }
}

/// What an endpoint is called in errors: `host:port`. The path and the user info may hold a key.
pub(super) fn name(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What an endpoint is called in errors: `host:port`, without what may be a key.
///
/// # Errors
/// Not an `http` or `https` URL.
pub fn endpoint_name(text: &str) -> Result<String, EndpointError> {
    parse_url(text).map(|url| name(&url))
}

/// A client for these endpoints. On a machine without CA certificates there is none for HTTPS, but there is for plain HTTP.
pub(super) fn client(endpoints: &[Url]) -> Result<Client, EndpointError> {
    let plain = endpoints.iter().all(|url| url.scheme() == "http");
    settings()
        .build()
        .or_else(|error| if plain { settings().tls_certs_only([]).build() } else { Err(error) })
        .map_err(|error| EndpointError::NoClient(describe(&error)))
}

fn settings() -> ClientBuilder {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(EXCHANGE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::limited(2))
}

/// Sends a request and reads at most `limit` bytes of the answer. URLs are left out of errors: they may hold keys.
pub(super) async fn exchange(request: RequestBuilder, limit: usize) -> Result<Vec<u8>, HttpError> {
    let transport = |error: reqwest::Error| HttpError::Transport(describe(&error.without_url()));
    let mut response = request.send().await.map_err(transport)?;
    let status = response.status();
    let limit = if status == StatusCode::OK { limit } else { limit.min(64 << 10) };
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > limit {
            return Err(HttpError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    if status == StatusCode::OK {
        return Ok(body);
    }
    let text: String = String::from_utf8_lossy(&body).chars().take(SHOWN_BYTES).collect();
    Err(HttpError::Status { status: status.as_u16(), text })
}

/// An error with its causes: the outermost alone says only "error sending request".
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_endpoint_is_named_without_its_keys() {
        for (url, expected) in [
            ("http://127.0.0.1:8545", "127.0.0.1:8545"),
            ("http://[::1]:8545/", "[::1]:8545"),
            ("http://node.example", "node.example:80"),
            ("https://user:secret@node.example/v3/secret?key=secret#secret", "node.example:443"),
        ] {
            assert_eq!(name(&parse_url(url).unwrap()), expected);
        }
    }
}
