//! `caBundle` of the configuration that only gives advice. Pods are admitted without it, so it has no say in what is
//! trusted, served or retired, and nothing waits for it for long.

use std::{future::Future, time::Duration};

use kube::Client;

use super::failure::Failure;
use crate::{
    bundle::Bundle,
    event::{Event, Step, Trouble},
    inject::{self, Configuration, Injector, Live},
    policy::Policy,
};

/// A request may take so small a part of a round's patience, which the rest of the round needs as well.
const SHARE: u32 = 3;

/// Keeps it.
pub(super) struct Advice {
    injector: Injector,
    patience: Duration,
    trouble: Trouble,
}

/// What it held when it was read, if it could be.
pub(super) struct Reading(Result<Live, Failure>);

/// What became of it in a round.
pub(super) struct Outcome {
    pub(super) events: Vec<Event>,
    /// Whether it has to be tried again soon.
    pub(super) again: bool,
}

impl Advice {
    /// For the ValidatingWebhookConfiguration `name`.
    pub(super) fn new(client: Client, name: String, policy: &Policy) -> Self {
        Self {
            injector: Injector::new(client, Configuration::Validating(name)),
            patience: policy.patience / SHARE,
            trouble: Trouble::of_advice(),
        }
    }

    /// Reads it. To be done before the Secret is read: see [`Injector::apply`].
    pub(super) async fn read(&self) -> Reading {
        Reading(match self.patiently(self.injector.read()).await {
            Some(read) => read.map_err(|error| Failure { step: Step::ReadAdvice, reason: error.to_string() }),
            None => Err(Failure::late(Step::ReadAdvice, self.patience)),
        })
    }

    /// Makes `bundle` the one of every entry that was `read`.
    pub(super) async fn write(&mut self, Reading(read): Reading, bundle: &Bundle) -> Outcome {
        let live = match read {
            Ok(live) => live,
            Err(failure) => return self.failed(failure),
        };
        match self.patiently(self.injector.apply(&live, bundle)).await {
            Some(Ok(written)) => {
                if written {
                    tracing::info!("Wrote caBundle of the configuration that gives advice");
                }
                let injected = written.then_some(Event::Injected);
                Outcome { events: injected.into_iter().chain(self.trouble.over()).collect(), again: false }
            }
            // Somebody else wrote first, which is no fault.
            Some(Err(inject::Error::Conflict { .. })) => Outcome { events: Vec::new(), again: true },
            Some(Err(error)) => self.failed(Failure { step: Step::WriteAdvice, reason: error.to_string() }),
            None => self.failed(Failure::late(Step::WriteAdvice, self.patience)),
        }
    }

    fn failed(&mut self, Failure { step, reason }: Failure) -> Outcome {
        Outcome { events: vec![self.trouble.failed(step, reason)], again: true }
    }

    async fn patiently<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.patience, request).await.ok()
    }
}

#[cfg(test)]
mod tests;
