//! The cluster's answer: from the index as far as that is trusted, else from the API server, once and not for long.

use super::{
    Entry, Facts, Index, Live, Lookup, Question, Unavailable,
    freshness::{Ceiling, Memory, Need, need},
};
use crate::{
    config::is_name,
    metrics::{Lookups, Source},
};
use podbadge_webhook_core::{
    decision::OptIn,
    identity::{Namespace, ServiceAccount},
};
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Looks service accounts up in the index and, where that does not know, at the API server.
pub struct Cluster {
    index: Arc<Index>,
    live: Arc<Live>,
    /// Whether the operator named a tenant, so that nobody else has to.
    default_tenant: bool,
    ceiling: Mutex<Ceiling>,
    metrics: Lookups,
}

// === impl Cluster ===

impl Cluster {
    /// Answers from the index, which someone else keeps up to date, and from live reads.
    pub fn new(index: Arc<Index>, live: Arc<Live>, default_tenant: bool, metrics: Lookups) -> Self {
        let ceiling = Mutex::new(Ceiling::new(Instant::now()));
        Self { index, live, default_tenant, ceiling, metrics }
    }

    async fn account(
        &self,
        question: Question<'_>,
        deadline: Duration,
    ) -> Result<Option<Arc<ServiceAccount>>, Unavailable> {
        let Question { namespace, service_account: name, opt_in } = question;
        let settles = |account: Option<&ServiceAccount>| account.is_some_and(|account| account.client_id.is_some());
        let entry = self.index.service_account(namespace, name);
        let memory = match &entry {
            Entry::Missing | Entry::Elsewhere => Memory::Missing,
            Entry::Annotated(account) if account.client_id.is_some() => Memory::With,
            Entry::Annotated(_) | Entry::Plain(_) => Memory::Without,
        };
        let need = need(memory, opt_in, self.index.accounts_watch.gap());
        let recent = self.live.recent_account(namespace, name);
        if let Some(recent) = recent.filter(|recent| need != Need::Read || settles(Some(recent))) {
            self.metrics.count(Source::Memory);
            return Ok(Some(recent));
        }
        let read = self.live.account(namespace, name, deadline, settles);
        Ok(self.resolve(need, read).await?.unwrap_or_else(|| entry.known()))
    }

    /// Asked only for pods that are opted in.
    async fn namespace(
        &self,
        question: Question<'_>,
        account: &ServiceAccount,
        deadline: Duration,
    ) -> Result<Arc<Namespace>, Unavailable> {
        let name = question.namespace;
        let memory = self.index.namespace(name);
        // An account that says it all leaves nothing to the namespace.
        if account.client_id.is_some() && account.tenant_id.is_some() {
            return Ok(memory);
        }
        let settles = |namespace: &Namespace| {
            let client_id = account.client_id.is_some() || namespace.client_id.is_some();
            let tenant_id = account.tenant_id.is_some() || namespace.tenant_id.is_some() || self.default_tenant;
            client_id && tenant_id
        };
        let held = if settles(&memory) { Memory::With } else { Memory::Without };
        let need = need(held, question.opt_in, self.index.namespaces_watch.gap());
        let recent = self.live.recent_namespace(name);
        if let Some(recent) = recent.filter(|recent| need != Need::Read || settles(recent)) {
            return Ok(recent);
        }
        let read = self.live.namespace(name, deadline, settles);
        Ok(self.resolve(need, read).await?.unwrap_or(memory))
    }

    /// What was read; `None` where memory has to do.
    async fn resolve<T>(
        &self,
        need: Need,
        read: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<Option<T>, Unavailable> {
        if need == Need::Confirm && !self.ceiling().admits(Instant::now()) {
            self.metrics.count(Source::Memory);
            return Ok(None);
        }
        match read.await {
            Ok(value) => {
                self.metrics.count(Source::Live);
                self.ceiling().resume(Instant::now());
                Ok(Some(value))
            }
            Err(error) => {
                self.metrics.count(Source::Failed);
                if need == Need::Read {
                    return Err(error);
                }
                tracing::debug!(%error, "Not confirmed, memory counts");
                self.ceiling().pause(Instant::now());
                Ok(None)
            }
        }
    }

    fn ceiling(&self) -> std::sync::MutexGuard<'_, Ceiling> {
        self.ceiling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup for Cluster {
    async fn facts(&self, question: Question<'_>, deadline: Duration) -> Result<Facts, Unavailable> {
        // The API server checks a pod's names after admission, and here they become the path of a request: `../secrets/x`
        // would be read with this webhook's permissions.
        if !is_name(question.namespace) || !is_name(question.service_account) {
            self.metrics.count(Source::Memory);
            return Ok(Facts::default());
        }
        let asked = Instant::now();
        let service_account = self.account(question, deadline).await?;
        let opted_in = |account: &ServiceAccount| question.opt_in == OptIn::Label || account.client_id.is_some();
        let namespace = match service_account.as_deref().filter(|account| opted_in(account)) {
            Some(account) => {
                let left = deadline.saturating_sub(asked.elapsed());
                self.namespace(question, account, left).await?
            }
            None => self.index.namespace(question.namespace),
        };
        Ok(Facts { service_account, namespace, limits: self.index.limits(question.namespace) })
    }
}

#[cfg(test)]
mod tests;
