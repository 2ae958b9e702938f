//! Names of identities, tenants and resources. A value of these types is a valid one.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

/// The application (client) id of an identity: a GUID, shown in lower case with hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Uuid);

/// The object (principal) id of an identity: a GUID, shown in lower case with hyphens. It is another one than the client
/// id of the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(Uuid);

/// The Azure resource id of a managed identity, such as
/// `/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.ManagedIdentity/userAssignedIdentities/NAME`, in
/// lower case, because Azure Resource Manager compares it without regard to letter case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(Box<str>);

/// The tenant of an identity: a GUID or a verified domain name such as `contoso.onmicrosoft.com`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Box<str>);

/// What a token is asked for: an application id URI (`https://vault.azure.net`) or a GUID, byte for byte as it came,
/// because the answer must repeat it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(Box<str>);

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Invalid {
    /// Not a GUID in the hyphenated form.
    #[error("must be a GUID such as 11111111-2222-3333-4444-555555555555")]
    ClientId,
    /// Not a GUID in the hyphenated form.
    #[error("must be a GUID such as 11111111-2222-3333-4444-555555555555")]
    ObjectId,
    /// Without the slash in front, longer than [`ResourceId::MAX_LEN`], or with characters that no resource id has.
    #[error("must be an Azure resource id: a slash and up to 1023 visible characters without spaces")]
    ResourceId,
    /// Neither a GUID nor a domain name.
    #[error("must be a GUID or a domain name such as contoso.onmicrosoft.com")]
    TenantId,
    /// Empty, longer than [`Resource::MAX_LEN`], or with characters that no resource has.
    #[error("must be 1 to 1024 visible characters without spaces")]
    Resource,
}

// === impl ClientId ===

impl FromStr for ClientId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        guid(text).map(Self).ok_or(Invalid::ClientId)
    }
}

impl From<ObjectId> for ClientId {
    /// A GUID does not tell which of the two it is; whoever calls this knows.
    fn from(ObjectId(id): ObjectId) -> Self {
        Self(id)
    }
}

impl From<Uuid> for ClientId {
    fn from(guid: Uuid) -> Self {
        Self(guid)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

// === impl ObjectId ===

impl FromStr for ObjectId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        guid(text).map(Self).ok_or(Invalid::ObjectId)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

// === impl ResourceId ===

impl ResourceId {
    /// Subscription, group and name together reach some 400 characters at most; this leaves room.
    pub const MAX_LEN: usize = 1024;
}

impl FromStr for ResourceId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let lower = text.to_lowercase();
        if lower.starts_with('/') && is_visible(&lower) && lower.len() <= Self::MAX_LEN {
            Ok(Self(lower.into()))
        } else {
            Err(Invalid::ResourceId)
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl TenantId ===

impl TenantId {
    /// The tenant as it stands in the path of the token endpoint; it needs no escaping there.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if guid(text).is_some() || is_domain(text) { Ok(Self(text.into())) } else { Err(Invalid::TenantId) }
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Resource ===

impl Resource {
    /// No application id URI is longer than 255 characters; this leaves room and bounds the cache.
    pub const MAX_LEN: usize = 1024;

    /// The resource as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scope of the v2 token endpoint that means this resource: `/.default` after the resource as it is. A trailing
    /// slash stays, since Entra strips exactly one: `https://management.azure.com/` needs `//.default`.
    pub fn scope(&self) -> String {
        const DEFAULT: &str = "/.default";
        if self.0.ends_with(DEFAULT) { self.0.to_string() } else { format!("{}{DEFAULT}", self.0) }
    }
}

impl FromStr for Resource {
    type Err = Invalid;

    /// A space would ask for several scopes at once, a control character for trouble.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_visible(text) && (1..=Self::MAX_LEN).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::Resource)
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === rules ===

/// `Uuid` also reads braces, a URN and 32 bare digits; Entra takes the hyphenated form only.
fn guid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

fn is_visible(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// RFC 1123 labels, at least two: a verified domain always has a suffix.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "6A9c1f00-1234-4abc-8def-00112233aabb";

    #[test]
    fn client_ids() {
        let id: ClientId = GUID.parse().expect("a GUID");
        assert_eq!(id.to_string(), GUID.to_ascii_lowercase());
        let simple = GUID.replace('-', "");
        let braced = format!("{{{GUID}}}");
        let padded = format!("{GUID} ");
        for wrong in ["", "x", &simple, &braced, &padded, "urn:uuid:6a9c1f00-1234-4abc-8def-00112233aabb"] {
            assert_eq!(wrong.parse::<ClientId>(), Err(Invalid::ClientId), "{wrong}");
        }
    }

    #[test]
    fn resource_ids() {
        let id: ResourceId = "/Subscriptions/S/resourceGroups/Gr\u{d6}\u{df}e-(1)".parse().expect("a resource id");
        assert_eq!(id.to_string(), "/subscriptions/s/resourcegroups/gr\u{f6}\u{df}e-(1)");
        assert_eq!("/SUBSCRIPTIONS/s/RESOURCEGROUPS/gr\u{f6}\u{df}e-(1)".parse(), Ok(id));
        for wrong in ["", "subscriptions/x", "/a b", "/a\n", " /a", &format!("/{}", "x".repeat(1024))] {
            assert_eq!(wrong.parse::<ResourceId>(), Err(Invalid::ResourceId), "{wrong}");
        }
    }

    #[test]
    fn tenant_ids() {
        for right in [GUID, "contoso.onmicrosoft.com", "a-b.c"] {
            assert_eq!(right.parse::<TenantId>().expect("valid").as_str(), right);
        }
        for wrong in ["", "common", "..", "a..b", "-a.b", "a.b/", "a.b/../c", "a.b?x", "ü.de", " a.b", "a.b\n"] {
            assert_eq!(wrong.parse::<TenantId>(), Err(Invalid::TenantId), "{wrong}");
        }
    }

    #[test]
    fn scopes() {
        for (resource, scope) in [
            ("https://vault.azure.net", "https://vault.azure.net/.default"),
            ("https://management.azure.com/", "https://management.azure.com//.default"),
            ("https://management.azure.com//.default", "https://management.azure.com//.default"),
            ("00000003-0000-0000-c000-000000000000", "00000003-0000-0000-c000-000000000000/.default"),
        ] {
            assert_eq!(resource.parse::<Resource>().expect("valid").scope(), scope);
        }
        for wrong in ["", "https://a https://b", "a\nb", "a\u{7f}", &"x".repeat(1025)] {
            assert_eq!(wrong.parse::<Resource>(), Err(Invalid::Resource), "{wrong}");
        }
    }
}
