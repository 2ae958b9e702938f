//! What becomes of a pod: it is left alone, given its identity, or refused with a text for its author.

use crate::{
    annotation::{self, Sidecar, Skip},
    contract,
    denial::Denial,
    identity::{Identity, Namespace, ServiceAccount},
    patch::{self, Patch},
    plan::Plan,
    pod::{Name, Pod},
    settings::{Annotated, Settings},
    value::cut,
    warning::{self, Warning},
};

/// What can be said of a pod before its service account is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// It is left alone, whatever its service account says.
    Skip(Reason),
    /// Its service account decides.
    LookUp(OptIn),
}

/// Who opts the pod in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptIn {
    /// The pod itself, by its label.
    Label,
    /// Its service account, if that names an identity.
    ServiceAccount,
}

/// What is known about the pod's service account and namespace.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// `None` where there is no such service account.
    pub service_account: Option<&'a ServiceAccount>,
    /// The namespace's defaults.
    pub namespace: &'a Namespace,
}

/// The answer to one review.
#[derive(Debug)]
pub enum Outcome {
    /// The pod may be created.
    Allow {
        /// Why it is, or is not, changed.
        reason: Reason,
        /// What is added; `None` where nothing is.
        patch: Option<Patch>,
        /// What its author should know.
        warnings: Vec<Warning>,
    },
    /// The pod's author has to mend something first.
    Deny {
        /// What, where, and what is allowed.
        denial: Denial,
        /// What else its author should know.
        warnings: Vec<Warning>,
    },
}

/// Why a pod was allowed as it was: a closed set, for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The identity was added.
    Injected,
    /// The pod has all it would be given.
    Complete,
    /// The label says `"false"`.
    OptedOut,
    /// Neither label nor service account opts in.
    NotOptedIn,
    /// The operator has switched off the opt-in by service account.
    Disabled,
    /// The service account opts in, and the operator only watches.
    Observed,
    /// The review is not about the creation of a pod.
    NotAPod,
}

/// Decides what can be decided by the pod alone; most pods of a cluster end here.
pub fn screen(pod: &Pod<'_>, settings: &Settings) -> Screen {
    match (pod.metadata.labels.value(contract::USE), settings.annotated) {
        (Some("true"), _) => Screen::LookUp(OptIn::Label),
        (Some("false"), _) => Screen::Skip(Reason::OptedOut),
        (_, Annotated::Disabled) => Screen::Skip(Reason::Disabled),
        (_, Annotated::Enabled | Annotated::Observe) => Screen::LookUp(OptIn::ServiceAccount),
    }
}

/// Warns about a label that is neither `"true"` nor `"false"`, in the words of whoever looks for its effect.
pub fn warn_of_odd_label(pod: &Pod<'_>, warnings: &mut Vec<Warning>) {
    if let Some(odd) = pod.metadata.labels.value(contract::USE).filter(|value| !matches!(*value, "true" | "false")) {
        let key = contract::USE;
        warnings.push(Warning::new(format!("label {key} is {odd:?}, which means nothing: use \"true\" or \"false\"")));
    }
}

/// Decides what becomes of a pod that passed [`screen`].
pub fn decide(pod: &Pod<'_>, namespace: &str, opt_in: OptIn, known: Known<'_>, settings: &Settings) -> Outcome {
    let mut warnings = Vec::new();
    warn_of_odd_label(pod, &mut warnings);
    let account = match (known.service_account, opt_in) {
        (Some(account), OptIn::Label) => account,
        (None, OptIn::Label) => {
            // The longest name that there can be (RFC 1123 subdomain); names are checked after admission.
            let [namespace, name] = [namespace, pod.spec.service_account()].map(|name| cut(name, 253).into_owned());
            let denial = Denial::NoServiceAccount { namespace, name };
            return Outcome::Deny { denial, warnings };
        }
        (Some(account), OptIn::ServiceAccount) if account.client_id.is_some() => account,
        (_, OptIn::ServiceAccount) => {
            return Outcome::Allow { reason: Reason::NotOptedIn, patch: None, warnings };
        }
    };
    if opt_in == OptIn::ServiceAccount && settings.annotated == Annotated::Observe {
        warnings.push(Warning::new(format!(
            "service account {:?} names an identity that this pod does not get: the webhook only observes; label the \
             pod {}=\"true\" to have it now",
            pod.spec.service_account(),
            contract::USE
        )));
        return Outcome::Allow { reason: Reason::Observed, patch: None, warnings };
    }
    let injected = inject(pod, account, known.namespace, settings, &mut warnings);
    warning::limit(&mut warnings);
    match injected {
        Ok(Some(patch)) => Outcome::Allow { reason: Reason::Injected, patch: Some(patch), warnings },
        Ok(None) => Outcome::Allow { reason: Reason::Complete, patch: None, warnings },
        Err(denial) => Outcome::Deny { denial, warnings },
    }
}

fn inject(
    pod: &Pod<'_>,
    account: &ServiceAccount,
    namespace: &Namespace,
    settings: &Settings,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Patch>, Denial> {
    let identity = Identity::resolve(account, namespace, settings)?;
    let expiration = annotation::expiration(pod, account, settings.expiration)?;
    let sidecar = annotation::sidecar(pod, account, warnings)?;
    let skip = Skip::of(pod);
    skip.warn(pod, warnings);
    annotation::ids(&identity, sidecar, warnings)?;
    if identity.client_id.is_none() {
        warn_of_no_client_id(pod, sidecar, &skip, warnings);
    }
    let plan = Plan::new(pod, &identity, expiration, sidecar, &skip, settings, warnings)?;
    Ok(patch::write(&plan))
}

/// Warns where a container has no client id, neither from anybody nor of its own.
fn warn_of_no_client_id(pod: &Pod<'_>, sidecar: Option<Sidecar>, skip: &Skip<'_>, warnings: &mut Vec<Warning>) {
    let lacking = pod.spec.all_containers().any(|container| {
        let own = container.env.as_ref().is_some_and(|env| env.has(Name::ClientId));
        !own && !skip.contains(container.name.as_str())
    });
    if lacking {
        let breaks = match sidecar {
            Some(sidecar) if !sidecar.federation => "the sidecar refuses requests that name none",
            _ => "Python's DefaultAzureCredential raises",
        };
        warnings.push(Warning::new(format!(
            "no client id: annotate service account {:?} with {}; until then AZURE_CLIENT_ID is not set and {breaks}",
            pod.spec.service_account(),
            contract::CLIENT_ID
        )));
    }
}

// === impl Reason ===

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Injected,
        Self::Complete,
        Self::OptedOut,
        Self::NotOptedIn,
        Self::Disabled,
        Self::Observed,
        Self::NotAPod,
    ];

    /// The reason as a label of metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Complete => "complete",
            Self::OptedOut => "opted_out",
            Self::NotOptedIn => "not_opted_in",
            Self::Disabled => "disabled",
            Self::Observed => "observed",
            Self::NotAPod => "not_a_pod",
        }
    }
}
