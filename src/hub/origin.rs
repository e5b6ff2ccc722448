//! Origins: the scheme, host and port of an address, and addresses relative to another.

use ureq::http::Uri;

use super::failure::{Failure, Result};

/// The scheme, host and port of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin(String, String, u16);

impl Origin {
    /// The origin of an address.
    ///
    /// # Errors
    /// If the address has no scheme or host.
    pub(super) fn of(url: &Uri) -> Result<Self> {
        let (Some(scheme), Some(host)) = (url.scheme_str(), url.host()) else {
            return Err(Failure::Protocol(format!("{url} is not an address")));
        };
        let default = if scheme == "https" { 443 } else { 80 };
        let port = url.port_u16().unwrap_or(default);
        Ok(Self(scheme.to_ascii_lowercase(), host.to_ascii_lowercase(), port))
    }
}

/// Parse an address.
///
/// # Errors
/// If it is malformed.
pub(super) fn address(url: &str) -> Result<Uri> {
    url.parse()
        .map_err(|error| Failure::Protocol(format!("{:?} is not an address: {error}", without_query(url))))
}

/// The address that `location` names in an answer from `base`.
///
/// # Errors
/// If it is malformed.
pub(super) fn resolve(base: &Uri, location: &str) -> Result<Uri> {
    let invalid = || Failure::Protocol(format!("it redirects to {location:?}, which is not an address"));
    let (scheme, authority) = (base.scheme_str().unwrap_or_default(), base.authority().ok_or_else(invalid)?);
    let absolute = match location {
        "" => return Err(invalid()),
        location if has_scheme(location) => location.to_string(),
        location if location.starts_with("//") => format!("{scheme}:{location}"),
        location if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        location => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        }
    };
    absolute.parse().map_err(|_| invalid())
}

/// An address without its query, which may hold a signature that gives access.
pub(super) fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// Whether an address begins with a scheme, such as `https:`.
fn has_scheme(location: &str) -> bool {
    location.find([':', '/', '?', '#']).is_some_and(|at| at > 0 && location[at..].starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_resolve_against_their_page() {
        let base = "http://hub:81/a/b".parse().unwrap();
        for (location, expected) in [
            ("https://cdn/x?y=z", "https://cdn/x?y=z"),
            ("//cdn/x", "http://cdn/x"),
            ("/x/y", "http://hub:81/x/y"),
            ("c", "http://hub:81/a/c"),
        ] {
            assert_eq!(resolve(&base, location).unwrap().to_string(), expected);
        }
        assert!(resolve(&base, "").is_err());
    }

    #[test]
    fn origin_has_scheme_host_and_port() {
        let origin = |url: &str| Origin::of(&url.parse().unwrap()).unwrap();
        assert_eq!(origin("https://Hub/a"), origin("https://hub:443/b"));
        for other in ["http://hub", "https://hub:444", "https://cdn"] {
            assert_ne!(origin("https://hub"), origin(other), "{other}");
        }
    }
}
