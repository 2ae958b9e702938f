//! What one Secret holds: authority, trusted bundle, serving certificate. Laid out so that one write changes all of it
//! at once.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    bundle::Bundle,
    material::{Authority, Error, Key, Material, Names},
};

/// Key of the bundle in the Secret: PEM, the signing authority first. Named as cert-manager names it.
pub const CA_CERT: &str = "ca.crt";
/// Key of the signing authority's private key.
pub const CA_KEY: &str = "ca.key";
/// Key of the serving certificate's chain, as in every `kubernetes.io/tls` Secret.
pub const TLS_CERT: &str = "tls.crt";
/// Key of the serving certificate's private key.
pub const TLS_KEY: &str = "tls.key";

/// The Secret's content, wiped when dropped.
pub type Data = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// What was found, part by part, so that a broken part costs no more than itself.
#[derive(Clone, Debug)]
pub struct State {
    /// Who signs.
    pub authority: Result<Authority, Error>,
    /// Whom to trust; empty if unreadable.
    pub bundle: Bundle,
    /// What to serve.
    pub leaf: Result<Material, Error>,
}

/// A state without fault: what is written.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Who signs.
    pub authority: Authority,
    /// Whom to trust; the authority first.
    pub bundle: Bundle,
    /// What to serve; signed by the authority.
    pub leaf: Material,
}

impl State {
    /// Reads and checks the Secret's content; `None` is a missing Secret.
    #[must_use]
    pub fn parse(data: Option<&Data>, names: &Names, now: OffsetDateTime) -> Self {
        let field = |key| data.and_then(|data| data.get(key)).filter(|value| !value.is_empty()).ok_or(Error::Missing);
        let bundle = field(CA_CERT).and_then(|pem| Bundle::from_pem(pem));
        let authority = bundle.clone().and_then(|bundle| {
            let certificate = bundle.signing().cloned().ok_or(Error::Certificate)?;
            Authority::new(certificate, Key::new(field(CA_KEY)?.to_vec()), now)
        });
        let leaf = field(TLS_CERT).and_then(|chain| {
            let leaf = Material::from_pem(chain, Key::new(field(TLS_KEY)?.to_vec()), names, now)?;
            // With a broken authority the leaf may still be what everybody trusts, so it is not judged by it.
            if let Ok(authority) = &authority {
                authority.certificate().verify(&leaf, names, now)?;
            }
            Ok(leaf)
        });
        Self { authority, bundle: bundle.unwrap_or_default(), leaf }
    }
}

impl Whole {
    /// The Secret's content.
    #[must_use]
    pub fn to_data(&self) -> Data {
        let Self { authority, bundle, leaf } = self;
        [
            (CA_CERT, bundle.to_pem().into_bytes()),
            (CA_KEY, authority.key().pem().to_vec()),
            (TLS_CERT, leaf.chain_pem().into_bytes()),
            (TLS_KEY, leaf.key().pem().to_vec()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Zeroizing::new(value)))
        .collect()
    }
}

impl From<Whole> for State {
    fn from(Whole { authority, bundle, leaf }: Whole) -> Self {
        Self { authority: Ok(authority), bundle, leaf: Ok(leaf) }
    }
}
