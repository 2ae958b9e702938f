//! The projected token volume, with the certificates of the custom token endpoint where they come that way
//! (<https://kubernetes.io/docs/concepts/storage/projected-volumes/>).

use crate::{contract, plan::TokenVolume, settings::Roots};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::Value;

#[derive(Serialize)]
struct Projected<'a> {
    sources: Vec<Source<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Source<'a> {
    #[serde(rename_all = "camelCase")]
    ServiceAccountToken {
        audience: &'a str,
        expiration_seconds: u32,
        path: &'a str,
    },
    ConfigMap {
        name: &'a str,
        items: [Item; 1],
        optional: bool,
    },
    #[serde(rename_all = "camelCase")]
    ClusterTrustBundle {
        signer_name: &'a str,
        label_selector: &'a Value,
        path: &'a str,
        optional: bool,
    },
}

#[derive(Serialize)]
struct Item {
    key: &'static str,
    path: &'static str,
}

impl Serialize for TokenVolume<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let token = Source::ServiceAccountToken {
            audience: self.audience,
            expiration_seconds: self.expiration.seconds(),
            path: contract::TOKEN_FILE,
        };
        let sources = std::iter::once(token).chain(self.roots.and_then(roots)).collect();
        let mut volume = out.serialize_struct("Volume", 2)?;
        volume.serialize_field("name", contract::VOLUME)?;
        volume.serialize_field("projected", &Projected { sources })?;
        volume.end()
    }
}

/// Without its certificates the pod had better not start: they are never optional.
fn roots(roots: &Roots) -> Option<Source<'_>> {
    match roots {
        Roots::Public | Roots::Data(_) => None,
        Roots::ConfigMap(name) => {
            Some(Source::ConfigMap { name, items: [Item { key: "ca.crt", path: contract::CA_FILE }], optional: false })
        }
        Roots::Bundles { signer, selector, .. } => Some(Source::ClusterTrustBundle {
            signer_name: signer,
            label_selector: selector,
            path: contract::CA_FILE,
            optional: false,
        }),
    }
}
