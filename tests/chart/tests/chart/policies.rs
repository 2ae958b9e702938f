//! Policies that the API server itself keeps.

use anyhow::{Result, ensure};

use crate::render::Helm;

/// Where the webhook has no right to write its configurations, there is nothing to be limited.
pub(crate) fn who_writes_ca_bundle_is_limited(helm: &Helm) -> Result<()> {
    let enabled = "caBundlePolicy: {enabled: true}";
    for (values, expected) in [
        (enabled.to_owned(), 1),
        (String::new(), 0),
        (format!("{{{enabled}, tls: {{mode: cert-manager}}}}"), 0),
        (format!("{{{enabled}, tls: {{mode: files, secretName: s}}}}"), 0),
    ] {
        let rendered = helm.render(&values)?;
        for kind in ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"] {
            ensure!(rendered.all(kind).len() == expected, "{values}: {} of {kind}", rendered.all(kind).len());
        }
    }
    let rendered = helm.render_in("elsewhere", &format!("{{{enabled}, fullnameOverride: own}}"))?;
    let whom = rendered.at("ValidatingAdmissionPolicy/spec/matchConditions/0/expression")?;
    ensure!(*whom == "request.userInfo.username == 'system:serviceaccount:elsewhere:own'", "{whom}");
    let named = rendered.at("ValidatingAdmissionPolicyBinding/spec/policyName")?;
    ensure!(named == rendered.at("ValidatingAdmissionPolicy/metadata/name")?, "{named}");
    Ok(())
}
