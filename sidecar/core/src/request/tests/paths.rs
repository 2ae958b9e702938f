//! Which paths are whose.

use super::*;

#[test]
fn paths_that_clients_write() {
    for (path, form) in [
        ("/metadata/identity/oauth2/token", Form::Imds),
        ("/metadata/identity/oauth2/token/", Form::Imds),
        ("//metadata/identity/oauth2/token", Form::Imds),
        ("///metadata/identity/oauth2/token/", Form::Imds),
        ("/Metadata/Identity/OAuth2/Token", Form::Imds),
        ("/metadata/identity/oauth2/%74oken", Form::Imds),
        ("/msi/token", Form::AppService),
        ("/msi/token/", Form::AppService),
        ("/MSI/token", Form::AppService),
    ] {
        assert_eq!(path::form(path), Ok(Some(form)), "{path}");
    }
}

#[test]
fn paths_that_are_not_served() {
    for path in [
        "",
        "/",
        "/metadata",
        "/metadata/identity",
        "/metadata/identity/getplatformmetadata",
        "/metadata/instance",
        "/metadata/identity/oauth2/tokens",
        "/metadata/identity/oauth2/tokenXYZ",
        "/metadata/identity/oauth2/token//",
        "/metadata/identity//oauth2/token",
        "/metadata/identity/oauth2/token/x",
        "/metadata/identity/oauth2/token;x",
        "/metadata/identity/oauth2/%2574oken",
        "/metadata/identity%252foauth2/token",
        "/msi",
        "/x/msi/token",
        "/latest/meta-data/",
        "*",
    ] {
        assert_eq!(path::form(path), Ok(None), "{path}");
    }
}

#[test]
fn paths_that_hide_something() {
    for path in [
        r"/metadata/identity\oauth2\token",
        r"/metadata/identity\oauth2\token/",
        "/metadata/identity%5Coauth2%5ctoken",
        "/metadata/identity%2Foauth2%2ftoken",
        "/metadata/./identity/oauth2/token",
        "/metadata/x/../identity/oauth2/token",
        "/metadata/%2e%2E/identity/oauth2/token",
        "/..",
        "/metadata/identity/oauth2/token%00",
        "/metadata/identity/oauth2/token%0d%0a",
        "/metadata/identity/oauth2/token%ff",
    ] {
        assert_eq!(path::form(path), Err(path::Evasive), "{path}");
        assert_eq!(reason(&Head { path, ..imds(VAULT) }), Reason::PathEvasive);
    }
}

proptest! {
    #[test]
    fn no_path_panics_and_only_the_two_are_served(path in "\\PC{0,60}") {
        if let Ok(Some(form)) = path::form(&path) {
            let decoded = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().to_ascii_lowercase();
            let known = if form == Form::Imds { "metadata/identity/oauth2/token" } else { "msi/token" };
            prop_assert_eq!(decoded.trim_matches('/'), known);
        }
    }

    /// Spellings of a real path: any of its characters encoded, in any letter case, with slashes around it.
    #[test]
    fn every_plain_spelling_is_understood(
        encode in proptest::collection::vec(any::<(bool, bool)>(), 31),
        slashes in 1_usize..4,
        trailing: bool,
    ) {
        let mut path = "/".repeat(slashes - 1);
        for (character, (encoded, upper)) in "/metadata/identity/oauth2/token".chars().zip(encode) {
            let character = if upper { character.to_ascii_uppercase() } else { character };
            if encoded && character != '/' {
                path.push_str(&format!("%{:02x}", u32::from(character)));
            } else {
                path.push(character);
            }
        }
        if trailing {
            path.push('/');
        }
        prop_assert_eq!(path::form(&path), Ok(Some(Form::Imds)));
    }
}
