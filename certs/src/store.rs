//! The one Secret that replicas share. Whoever writes second is told so by `resourceVersion`, reads again and follows.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Client, Resource,
    api::{GetParams, PostParams},
    client::Body,
    core::{Request, Status},
};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use zeroize::Zeroizing;

use crate::{kubernetes::Refusal, state::Data};

/// Who writes, as `managedFields` shows it.
pub(crate) const FIELD_MANAGER: &str = "podbadge-webhook";

/// Reads and writes one Secret.
#[derive(Clone)]
pub struct Store {
    client: Client,
    namespace: String,
    name: String,
}

/// What was read, with what it takes to replace exactly that.
pub struct Stored {
    /// The Secret without the content.
    shell: Option<Secret>,
    data: Data,
    date: Option<OffsetDateTime>,
}

/// An answer, and when the API server gave it.
struct Answer {
    secret: Result<Secret, Refusal>,
    date: Option<OffsetDateTime>,
}

/// Why the Secret was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("cannot read Secret {namespace}/{name}: {reason}")]
    Read {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// What the API server said.
        reason: String,
    },
    /// Writing failed.
    #[error("cannot write Secret {namespace}/{name}: {reason}")]
    Write {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// What the API server said.
        reason: String,
    },
    /// Another replica wrote first: read again.
    #[error("Secret {namespace}/{name} was written by another replica at the same time")]
    Conflict {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
    },
}

// === impl Stored ===

impl Stored {
    /// The content; `None` if there is no such Secret.
    #[must_use]
    pub fn data(&self) -> Option<&Data> {
        self.shell.as_ref().map(|_| &self.data)
    }

    /// The API server's time of day when it was read, in whole seconds.
    #[must_use]
    pub const fn date(&self) -> Option<OffsetDateTime> {
        self.date
    }
}

// === impl Store ===

impl Store {
    /// The Secret `name` in `namespace`.
    #[must_use]
    pub const fn new(client: Client, namespace: String, name: String) -> Self {
        Self { client, namespace, name }
    }

    /// Reads the Secret.
    ///
    /// # Errors
    /// [`Error::Read`]; a missing Secret is none.
    pub async fn read(&self) -> Result<Stored, Error> {
        let request = self.requests().get(&self.name, &GetParams::default());
        let answer = match request {
            Ok(request) => self.send(request).await,
            Err(error) => Err(kube::Error::BuildRequest(error)),
        };
        let Answer { secret, date } = answer.unwrap_or_else(|error| Answer { secret: Err(error.into()), date: None });
        match secret {
            Ok(mut secret) => {
                let content = secret.data.take().unwrap_or_default();
                let data = content.into_iter().map(|(key, value)| (key, Zeroizing::new(value.0))).collect();
                Ok(Stored { shell: Some(secret), data, date })
            }
            Err(Refusal::NotFound) => Ok(Stored { shell: None, data: Data::new(), date }),
            Err(refusal) => Err(Error::Read {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                reason: refusal.to_string(),
            }),
        }
    }

    /// Replaces what was `read` by it with `data` on top, or makes the Secret; labels, type and other keys stay.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not what was read any more, else [`Error::Write`].
    pub async fn write(&self, read: &Stored, data: &Data) -> Result<(), Error> {
        let mut secret = read.shell.clone().unwrap_or_else(|| self.shell());
        let content = read.data.iter().chain(data).map(|(key, value)| (key.clone(), ByteString(value.to_vec())));
        secret.data = Some(content.collect());
        let body = serde_json::to_vec(&secret);
        wipe(&mut secret);
        let Ok(body) = body else { return Err(self.refused("cannot be encoded".to_owned())) };

        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = match read.shell {
            Some(_) => self.requests().replace(&self.name, &params, body),
            None => self.requests().create(&params, body),
        };
        let answer = match request {
            Ok(request) => self.send(request).await,
            Err(error) => Err(kube::Error::BuildRequest(error)),
        };
        match answer.map_err(Refusal::from).and_then(|answer| answer.secret) {
            Ok(mut written) => {
                wipe(&mut written);
                Ok(())
            }
            // Deleted in between is a change, too.
            Err(Refusal::Conflict) => Err(self.conflict()),
            Err(Refusal::NotFound) if read.shell.is_some() => Err(self.conflict()),
            Err(refusal) => Err(self.refused(refusal.to_string())),
        }
    }

    /// Sends and reads here and not with the client's own types, which log an answer they cannot read; this one holds
    /// keys.
    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<Answer, kube::Error> {
        let (parts, body) = self.client.send(request.map(Body::from)).await?.into_parts();
        let date = parts.headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
        let text = Zeroizing::new(body.collect_bytes().await?.to_vec());
        let secret = if parts.status.is_success() {
            serde_json::from_slice(&text).map_err(|_| Refusal::unreadable())
        } else {
            let unreadable = || Status::failure(parts.status.as_str(), "").with_code(parts.status.as_u16());
            let status = serde_json::from_slice::<Status>(&text).unwrap_or_else(|_| unreadable());
            Err(Refusal::from(kube::Error::Api(status.boxed())))
        };
        Ok(Answer { secret, date })
    }

    fn requests(&self) -> Request {
        Request::new(Secret::url_path(&(), Some(&self.namespace)))
    }

    fn shell(&self) -> Secret {
        let labels = [("app.kubernetes.io/name", "podbadge"), ("app.kubernetes.io/managed-by", FIELD_MANAGER)];
        let labels: BTreeMap<String, String> = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Secret {
            metadata: ObjectMeta { name: Some(self.name.clone()), labels: Some(labels), ..ObjectMeta::default() },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        }
    }

    fn conflict(&self) -> Error {
        Error::Conflict { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    fn refused(&self, reason: String) -> Error {
        Error::Write { namespace: self.namespace.clone(), name: self.name.clone(), reason }
    }
}

fn wipe(secret: &mut Secret) {
    for (_, value) in secret.data.take().unwrap_or_default() {
        drop(Zeroizing::new(value.0));
    }
}

#[cfg(test)]
mod tests;
