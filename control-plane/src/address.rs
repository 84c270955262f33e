//! Where a control plane listens, as people write it. Every program of ours reads it the same way.

use tonic::transport::Endpoint;

/// Why a text does not say where a control plane listens.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum AddressError {
    #[error("`{0}` can't be called: there is no TLS yet; write it as HOST:PORT or http://HOST:PORT")]
    Scheme(String),
    #[error("`{0}` has no port; write it as `{0}:7070`, if that is the control plane's port")]
    NoPort(String),
    #[error("`{0}` is not the address of a control plane; write it as HOST:PORT, such as 127.0.0.1:7070")]
    Invalid(String),
}

/// Reads `HOST:PORT` or `http://HOST:PORT`.
pub fn endpoint(text: &str) -> Result<Endpoint, AddressError> {
    let (scheme, address) = text.split_once("://").unwrap_or(("http", text));
    if scheme != "http" {
        return Err(AddressError::Scheme(text.to_owned()));
    }
    let address = address.strip_suffix('/').unwrap_or(address);
    let invalid = || AddressError::Invalid(text.to_owned());
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| invalid())?;
    let uri = endpoint.uri();
    if uri.path() != "/" || uri.query().is_some() || uri.host().is_none_or(str::is_empty) || address.contains('@') {
        return Err(invalid());
    }
    match uri.port_u16() {
        Some(_) => Ok(endpoint),
        None if uri.host() == Some(address) => Err(AddressError::NoPort(text.to_owned())),
        None => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_its_scheme() {
        for text in ["localhost:7070", "http://localhost:7070", "http://localhost:7070/", "[::1]:7070", "10.0.0.1:80"] {
            let endpoint = endpoint(text).unwrap();
            assert!(endpoint.uri().port_u16().is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_hint() {
        type Kind = fn(String) -> AddressError;
        let cases: [(&str, Kind); 8] = [
            ("https://localhost:7070", AddressError::Scheme),
            ("unix:///run/veltrix", AddressError::Scheme),
            ("localhost", AddressError::NoPort),
            ("http://localhost", AddressError::NoPort),
            ("", AddressError::Invalid),
            ("local host:7070", AddressError::Invalid),
            ("localhost:7070/v1", AddressError::Invalid),
            ("localhost:99999", AddressError::Invalid),
        ];
        for (text, kind) in cases {
            assert_eq!(endpoint(text).err(), Some(kind(text.to_owned())), "{text}");
        }
        assert_eq!(
            endpoint("localhost").unwrap_err().to_string(),
            "`localhost` has no port; write it as `localhost:7070`, if that is the control plane's port"
        );
    }
}
