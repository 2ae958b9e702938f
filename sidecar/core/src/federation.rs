//! What to look at when Entra knows no federated credential for this pod: which of issuer, subject and audience differs,
//! and the credential that would match.

use std::fmt;

use serde::Serialize;

use crate::assertion::{Audience, Claims};
use crate::contract::DEFAULT_AUDIENCE;
use crate::text::{cut, one_line};

/// What of an assertion no federated credential of the application has, as Entra's codes tell it
/// (<https://learn.microsoft.com/entra/identity-platform/reference-error-codes>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// One of the three, and Entra does not say which (70021, as it was until 2023).
    Any,
    /// The application has none at all (70025).
    NoCredential,
    /// `iss` (700211).
    Issuer,
    /// `aud` (700212).
    Audience,
    /// `aud`, by letter case alone (7002121).
    AudienceCase,
    /// `sub` (700213).
    Subject,
    /// `sub`, by letter case alone (7002137, 7002138).
    SubjectCase,
}

/// A federated credential as Microsoft Graph and `az ad app federated-credential create --parameters` take it
/// (<https://learn.microsoft.com/graph/api/resources/federatedidentitycredential>). Shown as JSON on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FederatedCredential {
    /// 3 to 120 letters, digits, hyphens and underscores: `NAMESPACE-NAME` of the service account.
    pub name: String,
    /// Compared with `iss`, exactly.
    pub issuer: String,
    /// Compared with `sub`, exactly.
    pub subject: String,
    /// Compared with `aud`, exactly; Entra takes one.
    pub audiences: [String; 1],
}

// === impl Mismatch ===

impl Mismatch {
    /// The mismatch among these AADSTS codes, if there is one.
    pub fn of(codes: &[u32]) -> Option<Self> {
        codes.iter().find_map(|code| match code {
            70_021 => Some(Self::Any),
            70_025 => Some(Self::NoCredential),
            700_211 => Some(Self::Issuer),
            700_212 => Some(Self::Audience),
            7_002_121 => Some(Self::AudienceCase),
            700_213 => Some(Self::Subject),
            7_002_137 | 7_002_138 => Some(Self::SubjectCase),
            _ => None,
        })
    }

    /// Sentences for whoever maintains the application: what differs, what would match, what is easily overlooked.
    /// `application` is its client id.
    pub fn explain(self, application: impl fmt::Display, presented: &Claims) -> String {
        let fits = FederatedCredential::matching(presented);
        let FederatedCredential { issuer, subject, audiences: [audience], .. } = &fits;
        let differs = match self {
            Self::Any => "No federated credential has this pod's issuer, subject and audience together.".to_owned(),
            Self::NoCredential => "The application has no federated credential.".to_owned(),
            Self::Issuer => format!("The issuer differs: no federated credential has '{issuer}'."),
            Self::Audience => format!("The audience differs: no federated credential has '{audience}'."),
            Self::AudienceCase => format!("The audience differs in letter case alone from '{audience}'."),
            Self::Subject => format!("The subject differs: no federated credential has '{subject}'."),
            Self::SubjectCase => format!("The subject differs in letter case alone from '{subject}'."),
        };
        format!("{differs} This one of application {application} would match: {fits}{}", self.hint(&fits))
    }

    fn hint(self, fits: &FederatedCredential) -> String {
        let slash = if fits.issuer.ends_with('/') { "ends with a slash" } else { "ends without a slash" };
        let issuer = format!(". Letter case counts, and that the issuer {slash}");
        let unusual = fits.audiences[0] != DEFAULT_AUDIENCE;
        let audience = if unusual { format!("; the usual audience is {DEFAULT_AUDIENCE}") } else { String::new() };
        match self {
            Self::Any | Self::NoCredential => issuer + &audience + ".",
            Self::Issuer => issuer + ".",
            Self::Audience | Self::AudienceCase => format!(". Letter case counts{audience}."),
            Self::Subject | Self::SubjectCase => ". Letter case counts.".to_owned(),
        }
    }
}

// === impl FederatedCredential ===

impl FederatedCredential {
    /// The credential that an assertion with these claims matches. Of several audiences it names the first.
    pub fn matching(presented: &Claims) -> Self {
        // Entra's own limit for each of the three.
        let text = |text: &str| cut(&one_line(text), 600).into_owned();
        let audience = match &presented.aud {
            Audience::One(audience) => audience,
            Audience::Many(audiences) => audiences.first().map_or("", String::as_str),
        };
        Self {
            name: name(&presented.sub),
            issuer: text(&presented.iss),
            subject: text(&presented.sub),
            audiences: [text(audience)],
        }
    }
}

impl fmt::Display for FederatedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Strings alone: there is nothing that could fail.
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

fn name(subject: &str) -> String {
    let account = subject.strip_prefix("system:serviceaccount:").filter(|account| account.len() >= 3);
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    account.unwrap_or("podbadge").chars().take(120).map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(iss: &str, sub: &str, aud: &serde_json::Value) -> Claims {
        serde_json::from_value(json!({"iss": iss, "sub": sub, "aud": aud})).expect("claims")
    }

    #[test]
    fn every_code_has_its_words() {
        const FITS: &str = r#"This one of application APP would match: {"name":"shop-cart","issuer":"https://k/","subject":"system:serviceaccount:shop:cart","audiences":["api://AzureADTokenExchange"]}"#;
        let presented = claims("https://k/", "system:serviceaccount:shop:cart", &json!(["api://AzureADTokenExchange"]));
        for (code, before, after) in [
            (
                70_021,
                "No federated credential has this pod's issuer, subject and audience together.",
                ". Letter case counts, and that the issuer ends with a slash.",
            ),
            (
                70_025,
                "The application has no federated credential.",
                ". Letter case counts, and that the issuer ends with a slash.",
            ),
            (
                700_211,
                "The issuer differs: no federated credential has 'https://k/'.",
                ". Letter case counts, and that the issuer ends with a slash.",
            ),
            (
                700_212,
                "The audience differs: no federated credential has 'api://AzureADTokenExchange'.",
                ". Letter case counts.",
            ),
            (
                7_002_121,
                "The audience differs in letter case alone from 'api://AzureADTokenExchange'.",
                ". Letter case counts.",
            ),
            (
                700_213,
                "The subject differs: no federated credential has 'system:serviceaccount:shop:cart'.",
                ". Letter case counts.",
            ),
            (
                7_002_137,
                "The subject differs in letter case alone from 'system:serviceaccount:shop:cart'.",
                ". Letter case counts.",
            ),
            (
                7_002_138,
                "The subject differs in letter case alone from 'system:serviceaccount:shop:cart'.",
                ". Letter case counts.",
            ),
        ] {
            let mismatch = Mismatch::of(&[7, code, 700_016]).expect("a mismatch");
            assert_eq!(mismatch.explain("APP", &presented), format!("{before} {FITS}{after}"));
        }
        for codes in [&[][..], &[700_024], &[700_016, 90_002], &[7_000_272]] {
            assert_eq!(Mismatch::of(codes), None);
        }
    }

    #[test]
    fn what_is_easily_overlooked_is_said() {
        let presented = claims("https://k", "system:serviceaccount:shop:cart", &json!("api://azureadtokenexchange"));
        for (mismatch, end) in [
            (Mismatch::Any, "that the issuer ends without a slash; the usual audience is api://AzureADTokenExchange."),
            (Mismatch::Issuer, "that the issuer ends without a slash."),
            (Mismatch::Audience, "Letter case counts; the usual audience is api://AzureADTokenExchange."),
        ] {
            let text = mismatch.explain("APP", &presented);
            assert!(text.ends_with(end), "{text}");
        }
    }

    #[test]
    fn a_name_is_one_that_entra_takes() {
        let long = format!("system:serviceaccount:shop:{}", "x".repeat(253));
        for (subject, expected) in [
            ("system:serviceaccount:shop:cart.v2_b", "shop-cart-v2_b"),
            ("system:serviceaccount:a:b", "a-b"),
            ("system:serviceaccount:", "podbadge"),
            ("repo:contoso/x", "podbadge"),
            ("", "podbadge"),
            (&long, &format!("shop-{}", "x".repeat(115))),
        ] {
            assert_eq!(FederatedCredential::matching(&claims("i", subject, &json!([]))).name, expected);
        }
    }

    proptest::proptest! {
        /// Whatever a token says, the text is one line, bounded, without a token, and its JSON can be read.
        #[test]
        fn the_text_is_harmless(iss in "\\PC{0,900}", sub in ".{0,900}", aud in ".{0,90}") {
            let presented = claims(&iss, &sub, &json!([aud, "second"]));
            let text = Mismatch::Any.explain("APP", &presented);
            proptest::prop_assert!(text.len() < 6_000 && !text.contains(char::is_control) && !text.contains("eyJ"));
            let json = &text[text.find('{').expect("JSON")..=text.rfind('}').expect("JSON")];
            // Only where it is alone: an issuer may have braces of its own.
            if !iss.contains(['{', '}']) && !sub.contains(['{', '}']) && !aud.contains(['{', '}']) {
                let read: serde_json::Value = serde_json::from_str(json).expect("JSON");
                proptest::prop_assert_eq!(read["audiences"].as_array().map(Vec::len), Some(1));
            }
        }
    }
}
