//! Who leads, by a Lease (<https://kubernetes.io/docs/concepts/architecture/leases/>).
//!
//! Clocks of other machines are not trusted: a Lease has run out when it has not changed for its duration as measured
//! here. Whoever leads stops by itself earlier, counted from before its last renewal was sent, so that no two lead.

use std::time::Duration;

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a Lease is good for others, at least a second; whole seconds.
    pub duration: Duration,
    /// How long it is good for its holder, shorter.
    pub deadline: Duration,
    /// How often it is renewed or looked at, shorter again.
    pub retry: Duration,
}

/// A Lease as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `None` where it was given back.
    pub holder: Option<String>,
    /// How long it says it is good.
    pub duration: Duration,
    /// Changes with every change.
    pub version: String,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make it: there is none.
    Create,
    /// Take it from somebody who gave it back or is gone.
    Take,
    /// Renew it: it is ours.
    Renew,
    /// Leave it: somebody leads.
    Follow,
}

/// One replica's part in the election.
#[derive(Debug)]
pub struct Election {
    me: String,
    terms: Terms,
    /// The version that was seen last, and when it was first seen.
    seen: Option<(String, Duration)>,
    renewed: Option<Duration>,
}

impl Default for Terms {
    /// As the controllers of Kubernetes have them.
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

impl Election {
    /// Stands for election under a name that no other process has.
    pub fn new(me: String, terms: Terms) -> Self {
        Self { me, terms, seen: None, renewed: None }
    }

    /// What to do about the Lease as it was just read. `now` is the time since any fixed moment, taken after it was read.
    pub fn next(&mut self, now: Duration, record: Option<&Record>) -> Step {
        let Some(record) = record else {
            self.seen = None;
            return Step::Create;
        };
        let since = match &self.seen {
            Some((version, since)) if *version == record.version => *since,
            _ => {
                self.seen = Some((record.version.clone(), now));
                now
            }
        };
        match &record.holder {
            Some(holder) if *holder == self.me => Step::Renew,
            Some(_) if now.saturating_sub(since) < record.duration => Step::Follow,
            Some(_) | None => Step::Take,
        }
    }

    /// The Lease was written; `sent` is the time before it was.
    pub fn won(&mut self, sent: Duration) {
        self.renewed = Some(sent);
    }

    /// The Lease is somebody else's, or given back.
    pub fn lost(&mut self) {
        self.renewed = None;
    }

    /// Until when this replica leads without another renewal.
    pub fn leads_until(&self) -> Option<Duration> {
        self.renewed.map(|renewed| renewed + self.terms.deadline)
    }

    /// Whether this replica leads.
    pub fn leads(&self, now: Duration) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// Its name.
    pub fn me(&self) -> &str {
        &self.me
    }

    /// How long things take.
    pub fn terms(&self) -> Terms {
        self.terms
    }
}

#[cfg(test)]
mod tests;
