//! What becomes of a pod: it is left alone, given its identity, or refused with a text for its author.

use crate::{
    advice::keys::{self, On},
    contract,
    denial::Denial,
    identity::{Namespace, ServiceAccount},
    patch::{self, Patch},
    plan::{self, Plan},
    pod::Pod,
    request::Request,
    resources::Limits,
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
    /// What the namespace's LimitRanges demand of each container.
    pub limits: &'a Limits,
    /// 128 random bits for a pod on the host network, where its uid, which others use, is no secret.
    pub random: u128,
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
        /// The identity it has, for the audit log.
        identity: Option<String>,
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
        warnings
            .push(Warning::mistake(format!("label {key} is {odd:?}, which means nothing: use \"true\" or \"false\"")));
    }
}

/// Decides what becomes of a pod that passed [`screen`].
pub fn decide(pod: &Pod<'_>, namespace: &str, opt_in: OptIn, known: Known<'_>, settings: &Settings) -> Outcome {
    let mut warnings = Vec::new();
    keys::unknown_of(On::Pod, &pod.metadata, settings.token_endpoint_suffix(), &mut warnings);
    decide_known(pod, namespace, opt_in, known, settings, warnings)
}

/// Decides what would become of a pod of this template, whose keys are judged by whoever asks.
pub(crate) fn decide_template(
    template: &Pod<'_>,
    namespace: &str,
    opt_in: OptIn,
    known: Known<'_>,
    settings: &Settings,
) -> Outcome {
    decide_known(template, namespace, opt_in, known, settings, Vec::new())
}

fn decide_known(
    pod: &Pod<'_>,
    namespace: &str,
    opt_in: OptIn,
    known: Known<'_>,
    settings: &Settings,
    mut warnings: Vec<Warning>,
) -> Outcome {
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
            return match strict(settings, &mut warnings) {
                Ok(()) => Outcome::allow(Reason::NotOptedIn, warnings),
                Err(denial) => Outcome::Deny { denial, warnings },
            };
        }
    };
    if opt_in == OptIn::ServiceAccount && settings.annotated == Annotated::Observe {
        warnings.push(Warning::new(format!(
            "service account {:?} names an identity that this pod does not get: the webhook only observes; label the \
             pod {}=\"true\" to have it now",
            pod.spec.service_account(),
            contract::USE
        )));
        return Outcome::allow(Reason::Observed, warnings);
    }
    let planned = inject(pod, account, known, settings, &mut warnings);
    let denial = match planned.and_then(|planned| strict(settings, &mut warnings).map(|()| planned)) {
        Ok(planned) => return planned.allowed(warnings),
        Err(denial) => denial,
    };
    warning::limit(&mut warnings);
    Outcome::Deny { denial, warnings }
}

/// What is added, and who the pod is.
struct Planned {
    patch: Option<Patch>,
    identity: String,
}

fn inject(
    pod: &Pod<'_>,
    account: &ServiceAccount,
    known: Known<'_>,
    settings: &Settings,
    warnings: &mut Vec<Warning>,
) -> Result<Planned, Denial> {
    let request = Request::read(pod, account, known.namespace, settings, warnings)?;
    let mut plan = Plan::new(pod, &request, settings, known.random, warnings)?;
    plan.fit(pod, known.limits, settings)?;
    Ok(Planned { patch: patch::write(&plan), identity: request.identity.to_string() })
}

/// Where the operator is strict, mistakes are not only told.
fn strict(settings: &Settings, warnings: &mut Vec<Warning>) -> Result<(), Denial> {
    match warning::mistakes(warnings).filter(|_| settings.strict) {
        None => Ok(()),
        Some(mistakes) => {
            warnings.retain(|warning| !warning.is_mistake());
            Err(Denial::Strict { mistakes })
        }
    }
}

/// Decides what a new container of `kubectl debug` gets, in a pod that has its identity. It is never refused: who debugs
/// has trouble enough.
pub fn decide_ephemeral(pod: &Pod<'_>, before: &Pod<'_>, known: Known<'_>, settings: &Settings) -> Outcome {
    let mut warnings = Vec::new();
    if let Screen::Skip(reason) = screen(pod, settings) {
        return Outcome::allow(reason, warnings);
    }
    if !plan::has_identity(pod) {
        return Outcome::allow(Reason::NotOptedIn, warnings);
    }
    let nobody = ServiceAccount::default();
    let account = known.service_account.unwrap_or(&nobody);
    // What is wrong with the pod was said when it was created.
    let planned = Request::read(pod, account, known.namespace, settings, &mut Vec::new()).and_then(|request| {
        let plan = Plan::of_ephemeral(pod, before, &request, settings, &mut warnings)?;
        Ok(Planned { patch: patch::write(&plan), identity: request.identity.to_string() })
    });
    match planned {
        Ok(planned) => planned.allowed(warnings),
        Err(denial) => {
            warnings.insert(0, Warning::new(format!("the container gets no identity: {denial}")));
            warning::limit(&mut warnings);
            Outcome::allow(Reason::NotOptedIn, warnings)
        }
    }
}

// === impl Planned ===

impl Planned {
    fn allowed(self, mut warnings: Vec<Warning>) -> Outcome {
        let Self { patch, identity } = self;
        warning::limit(&mut warnings);
        let reason = if patch.is_some() { Reason::Injected } else { Reason::Complete };
        Outcome::Allow { reason, patch, warnings, identity: Some(identity) }
    }
}

// === impl Outcome ===

impl Outcome {
    fn allow(reason: Reason, warnings: Vec<Warning>) -> Self {
        Self::Allow { reason, patch: None, warnings, identity: None }
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
