//! Objects of any kind, as JSON: fields that no type here knows are kept.

use anyhow::{Context, Result};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, discovery};
use serde_json::Value;

/// All objects of one kind, in one namespace if the kind has them.
#[derive(Clone)]
pub struct Objects(Api<DynamicObject>);

impl Objects {
    /// `version` is that of the API, such as `apps/v1`.
    ///
    /// # Errors
    /// The API server knows no such kind.
    pub async fn of(client: &Client, version: &str, kind: &str, namespace: &str) -> Result<Self> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind = GroupVersionKind::gvk(group, version, kind);
        let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
        Ok(Self(match capabilities.scope {
            discovery::Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
            discovery::Scope::Cluster => Api::all_with(client.clone(), &resource),
        }))
    }

    /// Reads one.
    ///
    /// # Errors
    /// As the API server says it, here and below.
    pub async fn get(&self, name: &str) -> kube::Result<Value> {
        value(&self.0.get(name).await?)
    }

    /// Reads all.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn list(&self) -> kube::Result<Vec<Value>> {
        self.0.list(&ListParams::default()).await?.iter().map(value).collect()
    }

    /// Creates one; returns it as stored.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn create(&self, object: &Value) -> kube::Result<Value> {
        self.create_with(&PostParams::default(), object).await
    }

    /// All of a creation, admission too, but the storing.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn dry_run(&self, object: &Value) -> kube::Result<Value> {
        self.create_with(&PostParams { dry_run: true, ..PostParams::default() }, object).await
    }

    async fn create_with(&self, params: &PostParams, object: &Value) -> kube::Result<Value> {
        let object = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        value(&self.0.create(params, &object).await?)
    }

    /// Changes fields of one.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn merge(&self, name: &str, patch: &Value) -> kube::Result<Value> {
        value(&self.0.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Changes fields of one's status.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn merge_status(&self, name: &str, patch: &Value) -> kube::Result<Value> {
        value(&self.0.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Deletes one, without waiting for its end.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn delete(&self, name: &str) -> kube::Result<()> {
        self.0.delete(name, &DeleteParams::background()).await.map(drop)
    }
}

/// Applies an object as Helm does: what others have changed meanwhile is changed back.
pub(crate) async fn apply(client: &Client, object: &Value) -> Result<()> {
    let text = |value: &Value, field: &str| -> Result<String> {
        Ok(value[field].as_str().with_context(|| format!("an object without {field}"))?.to_owned())
    };
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or("default");
    let objects = Objects::of(client, &text(object, "apiVersion")?, &text(object, "kind")?, namespace).await?;
    objects.0.patch(&text(metadata, "name")?, &PatchParams::apply("helm").force(), &Patch::Apply(object)).await?;
    Ok(())
}

fn value(object: &DynamicObject) -> kube::Result<Value> {
    serde_json::to_value(object).map_err(kube::Error::SerdeError)
}
