//! Keeps web pages out. Whoever can reach the port may do anything, and a page that an operator opens is run by a browser that can.
//!
//! What a browser sends for a page of somebody else's, it marks: by `Origin` and `Sec-Fetch-Site`, and by asking beforehand for whatever
//! a form could not send, such as a body of JSON, which nobody here answers. A page whose own name was made to lead to this address
//! (DNS rebinding) is none of somebody else's to the browser: that is told by the `Host`, which must be a name that nobody outside can
//! give to this address, or one that the operator allows. Browsers speak no HTTP/2 without TLS, so that engines and `veltrixctl`, which do, may call
//! the control plane by any name.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version, header};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What monitoring reads, by whatever name it knows this program; it changes nothing and tells no routes.
const WATCHED: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// Why a request is refused that a web page may have made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a web page of `{origin}` can't use the control plane at `{host}`")]
    Origin { origin: String, host: String },
    #[error("a web page of another site can't use the control plane")]
    CrossSite,
    #[error(
        "the control plane is not known as `{0}`; call it by its IP address or a name without dots, or start it with --allow-host {0}"
    )]
    Host(String),
    #[error("the request does not say in one `Host` whom it is for")]
    NoHost,
    #[error(
        "the content type is {found}, but a body is read as {expected} only; with curl: -H 'content-type: {expected}'"
    )]
    ContentType { found: String, expected: &'static str },
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::FORBIDDEN,
        }
    }
}

/// A name by which a control plane may be called over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// A text that is no name of a host.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a host; write it without scheme and port, such as veltrix.example.com")]
pub struct BadHostName(String);

impl FromStr for HostName {
    type Err = BadHostName;

    fn from_str(text: &str) -> Result<HostName, BadHostName> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if name.split('.').all(is_label) { Ok(HostName(name.to_owned())) } else { Err(BadHostName(text.to_owned())) }
    }
}

/// Tells requests of web pages from others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Browsers {
    allowed: Arc<[HostName]>,
}

impl Browsers {
    pub(crate) fn new(allowed: &[HostName]) -> Browsers {
        Browsers { allowed: allowed.into() }
    }

    /// Looks at the head of a request. `takes_json`: at its path a body is JSON, and nothing else.
    ///
    /// # Errors
    /// A web page may have made it.
    pub(crate) fn check(&self, request: &Request, takes_json: bool) -> Result<(), Refusal> {
        let headers = request.headers();
        if headers.get_all(SEC_FETCH_SITE).iter().any(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site")) {
            return Err(Refusal::CrossSite);
        }
        let hosts = hosts(request);
        for origin in texts(headers, header::ORIGIN) {
            // Not `null`, either, which is how pages are called that may be anybody's.
            let of = origin.split_once("://").map(|(_, authority)| authority);
            if hosts.is_empty() || hosts.iter().any(|host| of.is_none_or(|of| !of.eq_ignore_ascii_case(host))) {
                let host = hosts.first().cloned().unwrap_or_default();
                return Err(Refusal::Origin { origin, host });
            }
        }
        if request.version() != Version::HTTP_2 && !WATCHED.contains(&request.uri().path()) {
            // One without any is no browser's.
            if hosts.len() > 1 {
                return Err(Refusal::NoHost);
            }
            hosts.iter().try_for_each(|host| self.knows(host))?;
        }
        if request.method() == Method::POST { check_content_type(headers, takes_json) } else { Ok(()) }
    }

    fn knows(&self, host: &str) -> Result<(), Refusal> {
        let authority: Authority = host.parse().map_err(|_| Refusal::NoHost)?;
        let name = authority.host();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_allowed = |allowed: &HostName| allowed.0.eq_ignore_ascii_case(name);
        if address.parse::<IpAddr>().is_ok() || !name.contains('.') || self.allowed.iter().any(is_allowed) {
            Ok(())
        } else {
            Err(Refusal::Host(name.to_owned()))
        }
    }
}

/// Whom the request is for: different names, mostly one.
fn hosts(request: &Request) -> Vec<String> {
    let target = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let mut hosts: Vec<String> = target.into_iter().chain(texts(request.headers(), header::HOST)).collect();
    hosts.dedup();
    hosts
}

/// What can't be read is no host's and no origin's name, and is kept as something that none is.
fn texts(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// A form can send what is of no type, of `text/plain` and of two more.
fn check_content_type(headers: &HeaderMap, takes_json: bool) -> Result<(), Refusal> {
    let found = texts(headers, header::CONTENT_TYPE);
    let kind = match &found[..] {
        [one] => one.split(';').next().unwrap_or_default().trim().to_ascii_lowercase(),
        _ => String::new(),
    };
    let is_grpc = kind == "application/grpc" || kind.starts_with("application/grpc+");
    if kind == "application/json" || is_grpc && !takes_json {
        return Ok(());
    }
    let found = if found.is_empty() { "not given".to_owned() } else { format!("`{}`", found.join(", ")) };
    let expected = if takes_json { "application/json" } else { "application/grpc" };
    Err(Refusal::ContentType { found, expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    const JSON: (&str, &str) = ("content-type", "application/json");

    fn check(version: Version, target: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut request = Request::post(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let allowed = ["veltrix.example.com".parse().unwrap()];
        Browsers::new(&allowed).check(&request.body(Body::empty()).unwrap(), true)
    }

    fn check_host(host: &str) -> Result<(), Refusal> {
        check(Version::HTTP_11, "/v1/route-map", &[("host", host), JSON])
    }

    #[test]
    fn a_name_that_anybody_could_give_to_an_address_is_refused_over_http_1() {
        for host in [
            "127.0.0.1:7070",
            "10.1.2.3",
            "[::1]:7070",
            "localhost:7070",
            "localhost.",
            "control-plane:7070",
            "veltrix.example.com:7070",
            "VELTRIX.example.com.",
        ] {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        for host in
            ["evil.example:7070", "evil.veltrix.example.com", "127.0.0.1.evil.example", "localhost.evil.example"]
        {
            let refused = check_host(host).unwrap_err();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN);
            assert!(refused.to_string().contains("--allow-host"), "{refused}");
        }
        for host in ["", "a b", "one@two/three"] {
            assert!(check_host(host).is_err(), "{host}");
        }
        let two = [("host", "localhost:7070"), ("host", "evil.example"), JSON];
        assert_eq!(check(Version::HTTP_11, "/v1/route-map", &two), Err(Refusal::NoHost));
        let target = "http://evil.example/v1/route-map";
        assert_eq!(check(Version::HTTP_11, target, &[JSON]), Err(Refusal::Host("evil.example".to_owned())));
        assert_eq!(check(Version::HTTP_10, "/v1/route-map", &[JSON]), Ok(()));
        assert_eq!(check(Version::HTTP_2, "http://control-plane.veltrix.svc:7070/v1/route-map", &[JSON]), Ok(()));
    }

    #[test]
    fn what_is_for_monitoring_may_be_asked_for_by_any_name() {
        for path in WATCHED {
            let named = [("host", "control-plane.veltrix.svc:7070"), JSON];
            assert_eq!(check(Version::HTTP_11, path, &named), Ok(()), "{path}");
            assert!(check(Version::HTTP_11, path, &[named[0], named[1], ("sec-fetch-site", "cross-site")]).is_err());
        }
    }

    #[test]
    fn what_a_browser_says_is_for_a_page_of_another_site_is_refused() {
        let from = |origin| check(Version::HTTP_11, "/", &[("host", "localhost:7070"), ("origin", origin), JSON]);
        assert_eq!(from("http://localhost:7070"), Ok(()));
        for origin in ["http://evil.example", "http://localhost:3000", "http://localhost", "null", ""] {
            let host = "localhost:7070".to_owned();
            assert_eq!(from(origin), Err(Refusal::Origin { origin: origin.to_owned(), host }));
        }
        assert!(check(Version::HTTP_10, "/", &[("origin", "http://evil.example"), JSON]).is_err());
        let over_http_2 = check(Version::HTTP_2, "http://localhost:7070/", &[("origin", "http://evil.example"), JSON]);
        assert!(over_http_2.is_err());
        let site = |site| check(Version::HTTP_11, "/", &[("host", "localhost"), ("sec-fetch-site", site), JSON]);
        assert_eq!(site("cross-site"), Err(Refusal::CrossSite));
        assert_eq!((site("same-origin"), site("none")), (Ok(()), Ok(())));
    }

    #[test]
    fn a_body_that_a_form_could_send_is_refused_with_a_hint() {
        let of = |kinds: &[&str], takes_json| {
            let mut request = Request::post("/").header("host", "localhost");
            for kind in kinds {
                request = request.header("content-type", *kind);
            }
            Browsers::default().check(&request.body(Body::empty()).unwrap(), takes_json)
        };
        for kind in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(of(&[kind], true), Ok(()), "{kind}");
        }
        for kind in ["application/grpc", "application/grpc+proto"] {
            assert_eq!(of(&[kind], false), Ok(()), "{kind}");
            assert!(of(&[kind], true).is_err(), "{kind}");
        }
        for kinds in [
            &[][..],
            &["text/plain"],
            &["text/plain; application/json"],
            &["application/x-www-form-urlencoded"],
            &["multipart/form-data; boundary=application/json"],
            &["text/plain", "application/json"],
            &["application/grpcevil"],
        ] {
            for takes_json in [false, true] {
                let refused = of(kinds, takes_json).unwrap_err();
                assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
                assert!(refused.to_string().contains("-H 'content-type: application/"), "{refused}");
            }
        }
    }

    #[test]
    fn an_allowed_name_has_neither_scheme_nor_port() {
        assert_eq!("veltrix.example.com.".parse(), Ok(HostName("veltrix.example.com".to_owned())));
        for text in ["", ".", "a..b", "http://a.b", "a.b:7070", "a.b/", "*.b"] {
            assert_eq!(text.parse::<HostName>(), Err(BadHostName(text.to_owned())));
        }
    }
}
