//! What a scope asks for. Pure.

use super::refusal::Refusal;

const DEFAULT: &str = "/.default";

/// Scopes of OpenID Connect that clients add and that mean nothing without a user.
const RESERVED: &[&str] = &["openid", "offline_access", "profile", "email"];

/// The one resource that a scope of the client-credentials flow names: `/.default` stripped once, so that
/// `https://management.azure.com//.default` is `https://management.azure.com/`.
///
/// # Errors
/// If there is none, several, or one without `/.default`.
pub(crate) fn resource(scope: &str) -> Result<&str, Refusal> {
    let invalid = || Refusal::Scope(scope.to_owned());
    let mut asked = scope.split_ascii_whitespace().filter(|name| !RESERVED.contains(name));
    let first = asked.next().and_then(stripped).ok_or_else(invalid)?;
    for other in asked {
        if stripped(other).ok_or_else(invalid)? != first {
            return Err(Refusal::SeveralResources);
        }
    }
    Ok(first)
}

fn stripped(name: &str) -> Option<&str> {
    name.strip_suffix(DEFAULT).filter(|resource| !resource.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_resource_is_found_among_reserved_scopes() {
        for (scope, expected) in [
            ("https://vault.azure.net/.default", "https://vault.azure.net"),
            ("https://vault.azure.net//.default", "https://vault.azure.net/"),
            ("https://a/.default/.default", "https://a/.default"),
            ("https://vault.azure.net/.default openid offline_access profile", "https://vault.azure.net"),
            ("openid  https://vault.azure.net/.default\temail", "https://vault.azure.net"),
            ("https://a/.default https://a/.default", "https://a"),
            ("00000003-0000-0000-c000-000000000000/.default", "00000003-0000-0000-c000-000000000000"),
        ] {
            assert_eq!(resource(scope), Ok(expected), "{scope}");
        }
    }

    #[test]
    fn others_are_refused_with_the_scope_as_it_came() {
        for scope in
            ["", " ", "openid", ".default", "/.default", "https://a", "https://a/.Default", "https://a/.default x"]
        {
            assert_eq!(resource(scope), Err(Refusal::Scope(scope.to_owned())));
        }
        let two = "https://a/.default https://a//.default";
        assert_eq!(resource(two), Err(Refusal::SeveralResources));
    }
}
