//! Whether an exchange that failed is tried again while its caller waits.
//!
//! Most SDKs try again by themselves, but not all (azure-cli, Terraform, plain HTTP never do), and what one sidecar asks
//! again costs the authority one request, however many callers wait.

use std::time::Duration;

use crate::error::{EntraError, Failure};

/// What may come of asking the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// Another answer, soon: the authority is throttling, down, or cannot reach the cluster's issuer.
    Passing,
    /// Another answer within minutes, if the federated credential is new: Entra's replicas learn of it one by one. Later
    /// there is none that matches.
    Spreading,
    /// The same answer.
    Final,
}

/// How much of a request's time is left, and what it was spent on.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Since the sidecar, and so the pod, started.
    pub age: Duration,
    /// For how long after that start a federated credential may be too new to be known.
    pub spreading: Duration,
    /// Until the deadline of the exchange.
    pub left: Duration,
    /// The next wait of the backoff.
    pub delay: Duration,
}

/// What an answer needs at least; without as much left, nobody is asked.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// How long to wait before the next attempt, none if there is to be no other. The authority's `Retry-After` is obeyed, or
/// its answer is passed on where the time does not suffice.
pub fn wait(failure: &Failure, attempt: &Attempt) -> Option<Duration> {
    let again = match failure.prospect() {
        Prospect::Passing => true,
        Prospect::Spreading => attempt.age < attempt.spreading,
        Prospect::Final => false,
    };
    let wait = attempt.delay.max(failure.retry_after().unwrap_or_default());
    (again && wait + TIME_TO_ANSWER <= attempt.left).then_some(wait)
}

// === impl Prospect ===

impl Prospect {
    /// Of a refusal, by its AADSTS codes
    /// (<https://learn.microsoft.com/entra/identity-platform/reference-error-codes>).
    pub fn of(error: &EntraError) -> Self {
        let prospects = || error.error_codes.iter().map(|code| Self::of_code(*code));
        if prospects().any(|prospect| prospect == Self::Passing) {
            Self::Passing
        } else if prospects().any(|prospect| prospect == Self::Spreading) {
            Self::Spreading
        } else {
            Self::Final
        }
    }

    fn of_code(code: u32) -> Self {
        match code {
            // Entra could not read the issuer's discovery document or keys.
            50_166 | 90_061 | 501_661 => Self::Passing,
            // Its own: time-out, transient, throttled. They come as 5xx and 429, and now and then as 400.
            90_012 | 90_024 | 90_033 | 90_055 => Self::Passing,
            // No federated credential matches (70021 is what it was until 2023).
            70_021 | 700_211 | 700_212 | 700_213 => Self::Spreading,
            _ => Self::Final,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assertion::Claims;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(codes: &[u32]) -> Failure {
        let error = EntraError {
            error: "invalid_client".to_owned(),
            error_description: String::new(),
            error_codes: codes.to_vec(),
            trace_id: None,
            correlation_id: None,
        };
        let client_id = "11111111-2222-3333-4444-555555555555".parse().expect("a GUID");
        Failure::Refused { status: 400, error, client_id, presented: Claims::default() }
    }

    fn unavailable(may_pass: bool) -> Failure {
        Failure::Unavailable { description: String::new(), retry_after: None, may_pass }
    }

    #[test]
    fn prospects() {
        for (failure, expected) in [
            (refused(&[90_061]), Prospect::Passing),
            (refused(&[50_166]), Prospect::Passing),
            (refused(&[501_661]), Prospect::Passing),
            (refused(&[90_033, 7]), Prospect::Passing),
            (refused(&[70_021, 90_033]), Prospect::Passing),
            (refused(&[70_021]), Prospect::Spreading),
            (refused(&[700_211]), Prospect::Spreading),
            (refused(&[700_212]), Prospect::Spreading),
            (refused(&[700_213]), Prospect::Spreading),
            // By letter case alone: that one is known, and wrong.
            (refused(&[7_002_138]), Prospect::Final),
            (refused(&[70_025]), Prospect::Final),
            (refused(&[700_016]), Prospect::Final),
            (refused(&[90_002]), Prospect::Final),
            (refused(&[500_011]), Prospect::Final),
            (refused(&[700_024]), Prospect::Final),
            (refused(&[50_196]), Prospect::Final),
            (refused(&[]), Prospect::Final),
            (unavailable(true), Prospect::Passing),
            (unavailable(false), Prospect::Final),
            (Failure::Throttled { retry_after: None }, Prospect::Passing),
            (Failure::Assertion { description: String::new(), may_pass: true }, Prospect::Final),
        ] {
            assert_eq!(failure.prospect(), expected, "{failure:?}");
        }
    }

    #[test]
    fn waits() {
        let throttled = |secs| Failure::Throttled { retry_after: Some(secs * SECOND) };
        let (young, old) = (119 * SECOND, 120 * SECOND);
        for (failure, age, left, expected) in [
            (&unavailable(true), old, 9, Some(2)),
            (&unavailable(true), old, 3, Some(2)),
            (&unavailable(true), old, 2, None),
            (&unavailable(false), old, 9, None),
            (&throttled(1), old, 9, Some(2)),
            (&throttled(5), old, 9, Some(5)),
            (&throttled(8), old, 9, Some(8)),
            (&throttled(9), old, 9, None),
            (&throttled(60), old, 9, None),
            (&refused(&[90_061]), old, 9, Some(2)),
            (&refused(&[700_213]), young, 9, Some(2)),
            (&refused(&[700_213]), old, 9, None),
            (&refused(&[700_016]), young, 9, None),
        ] {
            let attempt = Attempt { age, spreading: 120 * SECOND, left: left * SECOND, delay: 2 * SECOND };
            assert_eq!(wait(failure, &attempt), expected.map(|secs| secs * SECOND), "{failure:?} {attempt:?}");
        }
        let never = Attempt { age: Duration::ZERO, spreading: Duration::ZERO, left: 9 * SECOND, delay: SECOND };
        assert_eq!(wait(&refused(&[700_213]), &never), None);
    }
}
