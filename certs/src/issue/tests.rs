use std::time::Duration;

use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::*;
use crate::{
    fake::{BASE, names},
    material::Error as Fault,
    policy::Lifetime,
    state::State,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn parsed(certificate: &Certificate) -> X509Certificate<'_> {
    X509Certificate::from_der(certificate.der()).unwrap().1
}

#[test]
fn an_authority_signs_leaves_and_no_authorities() {
    let policy = Policy::default();
    let authority = authority(&policy, BASE).unwrap();
    let parsed = parsed(authority.certificate());
    let constraints = parsed.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    assert!(parsed.key_usage().unwrap().unwrap().value.key_cert_sign());
    let validity = authority.certificate().validity();
    assert_eq!(validity.not_before, BASE - policy.backdate);
    assert_eq!(validity.not_after, BASE + policy.authority.valid);
}

#[test]
fn a_leaf_is_for_the_service_and_for_serving_only() {
    let policy = Policy::default();
    let authority = authority(&policy, BASE).unwrap();
    let leaf = leaf(&authority, &names(), &policy, BASE + 10 * DAY).unwrap();
    let parsed = parsed(&leaf.chain()[0]);
    let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    assert!(names[0].contains("podbadge-webhook.podbadge-system.svc"), "{names:?}");
    assert_eq!(names.len(), 3);
    assert!(!parsed.basic_constraints().unwrap().unwrap().value.ca);
    assert!(parsed.extended_key_usage().unwrap().unwrap().value.server_auth);
    assert_eq!(leaf.validity().not_after, BASE + 10 * DAY + policy.leaf.valid);
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let policy = Policy { authority: Lifetime::of(30 * DAY), ..Policy::default() };
    let authority = authority(&policy, BASE).unwrap();
    let leaf = leaf(&authority, &names(), &policy, BASE + 20 * DAY).unwrap();
    assert_eq!(leaf.validity().not_after, authority.certificate().validity().not_after);
}

#[test]
fn authorities_differ_in_name_and_another_ones_leaf_is_refused() {
    let policy = Policy::default();
    let (one, two) = (authority(&policy, BASE).unwrap(), authority(&policy, BASE + DAY).unwrap());
    assert_ne!(parsed(one.certificate()).subject().to_string(), parsed(two.certificate()).subject().to_string());
    let leaf = leaf(&one, &names(), &policy, BASE + DAY).unwrap();
    assert_eq!(one.certificate().verify(&leaf, &names(), BASE + DAY), Ok(()));
    assert_eq!(two.certificate().verify(&leaf, &names(), BASE + DAY), Err(Fault::Authority));
}

#[test]
fn a_certificate_that_may_not_sign_is_no_authority() {
    let whole = whole(&names(), &Policy::default(), &Bundle::default(), BASE).unwrap();
    let leaf = whole.leaf.chain()[0].clone();
    assert!(matches!(Authority::new(leaf, whole.leaf.key().clone(), BASE), Err(Fault::NotAnAuthority)));

    // As after a Secret of type kubernetes.io/tls whose `ca.crt` is the server's own, self-signed certificate.
    let data = crate::state::Data::from([
        (crate::state::CA_CERT.to_owned(), whole.leaf.chain_pem().into_bytes().into()),
        (crate::state::CA_KEY.to_owned(), whole.leaf.key().pem().to_vec().into()),
    ]);
    let state = State::parse(Some(&data), &names(), BASE);
    let action = crate::plan::next(&state, &crate::plan::View::default(), &Policy::default(), BASE);
    assert_eq!(action, crate::plan::Action::NewAuthority(crate::plan::Why::Unusable));
}

#[test]
fn what_is_written_reads_back_whole() {
    let whole = whole(&names(), &Policy::default(), &Bundle::default(), BASE).unwrap();
    let state = State::parse(Some(&whole.to_data()), &names(), BASE);
    assert_eq!(state.bundle, whole.bundle);
    assert_eq!(state.authority.unwrap().certificate(), whole.authority.certificate());
    assert_eq!(state.leaf.unwrap().chain(), whole.leaf.chain());
}

#[test]
fn keys_are_not_printed() {
    let whole = whole(&names(), &Policy::default(), &Bundle::default(), BASE).unwrap();
    let printed = format!("{whole:?} {:?}", State::from(whole.clone()));
    assert!(!printed.contains("PRIVATE") && printed.contains("Key(..)"), "{printed}");
    let key = std::str::from_utf8(whole.leaf.key().pem()).unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "as every TLS library reads it");
}
