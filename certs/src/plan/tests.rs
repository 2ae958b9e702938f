use super::*;
use crate::{
    bundle::Bundle,
    fake::{BASE, names},
    issue,
    state::{CA_CERT, CA_KEY, Data, TLS_CERT, TLS_KEY, Whole},
};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn made(trusted: &Bundle) -> Whole {
    issue::whole(&names(), &Policy::default(), trusted, BASE).unwrap()
}

fn planned(data: Option<&Data>, now: OffsetDateTime) -> Action {
    next(&State::parse(data, &names(), now), &Policy::default(), now)
}

#[test]
fn time_alone_moves_through_the_renewals() {
    // A leaf of 90 days backdated by an hour: two thirds are over an hour's third before day 60. An authority of 365
    // days: before day 243.3.
    let whole = made(&Bundle::default());
    for (now, action) in [
        (BASE, Action::Keep),
        (BASE + 59 * DAY, Action::Keep),
        (BASE + 60 * DAY - 20 * HOUR / 60, Action::NewLeaf(Why::Ending)),
        (BASE + 89 * DAY, Action::NewLeaf(Why::Ending)),
        (BASE + 91 * DAY, Action::NewLeaf(Why::Unusable)),
        (BASE + 244 * DAY, Action::NewAuthority(Why::Ending)),
        (BASE + 366 * DAY, Action::NewAuthority(Why::Unusable)),
        (BASE - 2 * HOUR, Action::NewAuthority(Why::Unusable)),
    ] {
        assert_eq!(planned(Some(&whole.to_data()), now), action, "{now}");
    }
}

#[test]
fn what_is_broken_costs_no_more_than_itself() {
    let (whole, other) = (made(&Bundle::default()).to_data(), made(&Bundle::default()).to_data());
    let with = |key: &str, value: Option<&[u8]>| {
        let mut data = whole.clone();
        match value {
            Some(value) => data.insert(key.to_owned(), zeroize::Zeroizing::new(value.to_vec())),
            None => data.remove(key),
        };
        data
    };
    let garbage = Some(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".as_slice());
    let (authority, leaf) = (Action::NewAuthority(Why::Unusable), Action::NewLeaf(Why::Unusable));
    for (what, data, action) in [
        ("no Secret", None, authority),
        ("an empty Secret", Some(Data::new()), authority),
        ("no authority", Some(with(CA_CERT, None)), authority),
        ("authority is garbage", Some(with(CA_CERT, garbage)), authority),
        ("no authority's key", Some(with(CA_KEY, None)), authority),
        ("authority's key is empty", Some(with(CA_KEY, Some(b""))), authority),
        ("authority's key is garbage", Some(with(CA_KEY, garbage)), authority),
        ("authority's key is another's", Some(with(CA_KEY, Some(&other[CA_KEY]))), authority),
        ("authority is another's", Some(with(CA_CERT, Some(&other[CA_CERT]))), authority),
        ("no leaf", Some(with(TLS_CERT, None)), leaf),
        ("leaf is garbage", Some(with(TLS_CERT, Some(b"\xff\x00"))), leaf),
        ("no leaf's key", Some(with(TLS_KEY, None)), leaf),
        ("leaf's key is garbage", Some(with(TLS_KEY, garbage)), leaf),
        ("leaf's key is another's", Some(with(TLS_KEY, Some(&other[TLS_KEY]))), leaf),
        ("leaf is the authority", Some(with(TLS_CERT, Some(&whole[CA_CERT]))), leaf),
        ("all is well", Some(whole.clone()), Action::Keep),
    ] {
        assert_eq!(planned(data.as_ref(), BASE), action, "{what}");
    }
}

#[test]
fn a_leaf_for_other_names_or_of_another_authority_is_made_anew() {
    let policy = Policy::default();
    let whole = made(&Bundle::default());
    let elsewhere = crate::material::Names::of_service("podbadge-webhook", "elsewhere").unwrap();
    let stranger = issue::authority(&policy, BASE).unwrap();
    for leaf in [
        issue::leaf(&whole.authority, &elsewhere, &policy, BASE).unwrap(),
        issue::leaf(&stranger, &names(), &policy, BASE).unwrap(),
    ] {
        let data = Whole { leaf, ..whole.clone() }.to_data();
        assert_eq!(planned(Some(&data), BASE), Action::NewLeaf(Why::Unusable));
    }
}

#[test]
fn an_old_authority_is_trusted_for_the_overlap_and_then_no_longer() {
    let policy = Policy::default();
    let old = issue::whole(&names(), &policy, &Bundle::default(), BASE - 200 * DAY).unwrap();
    let data = made(&old.bundle).to_data();
    assert_eq!(planned(Some(&data), BASE + policy.overlap - HOUR), Action::Keep);
    assert_eq!(planned(Some(&data), BASE + policy.overlap), Action::Retire);
}

#[test]
fn bundles_keep_what_is_valid_newest_first_and_never_grow_without_end() {
    let policy = Policy::default();
    let mut bundle = Bundle::default();
    let made: Vec<Certificate> = (0..6)
        .map(|day| issue::authority(&policy, BASE + day * DAY).unwrap().certificate().clone())
        .inspect(|authority| bundle = bundle.succeeded_by(authority.clone(), BASE + 6 * DAY))
        .collect();
    assert_eq!(bundle.signing(), Some(&made[5]));
    let kept: Vec<bool> = made.iter().map(|authority| bundle.contains(authority)).collect();
    assert_eq!(kept, [false, false, true, true, true, true]);
    assert_eq!(Bundle::from_pem(bundle.to_pem().as_bytes()).as_ref(), Ok(&bundle));

    // Those of day 2, 3, 4, 5 expire after day 367, 368, 369, 370.
    let later = BASE + 368 * DAY + HOUR;
    let newest = issue::authority(&policy, later).unwrap().certificate().clone();
    let after = bundle.succeeded_by(newest.clone(), later);
    let kept: Vec<bool> = made.iter().map(|authority| after.contains(authority)).collect();
    assert_eq!(kept, [false, false, false, false, true, true]);
    assert_eq!(after.signing(), Some(&newest));
    let at_end = bundle.succeeded_by(newest, BASE + 400 * DAY);
    assert!(!at_end.has_retired(), "the expired are gone");
}

#[test]
fn a_new_authoritys_leaf_waits_until_api_servers_trust_it() {
    let policy = Policy::default();
    let served = |made_at: OffsetDateTime| Served {
        authority: issue::authority(&policy, made_at).unwrap().certificate().clone(),
        not_after: made_at + policy.leaf,
    };
    let (old, new) = (served(BASE - DAY), served(BASE));
    let settled = Some(policy.settle);
    let ask = |served, candidate, trusted, now| publish(served, candidate, trusted, &policy, now);

    assert_eq!(ask(None, &new, None, BASE), Publish::Now, "there is nothing to lose");
    assert_eq!(ask(Some(&old), &old, None, BASE), Publish::Now, "trust does not change");
    assert_eq!(ask(Some(&old), &new, None, BASE), Publish::In(policy.settle));
    let a_second = Some(Duration::from_secs(1));
    assert_eq!(ask(Some(&old), &new, a_second, BASE), Publish::In(policy.settle - Duration::from_secs(1)));
    assert_eq!(ask(Some(&old), &new, settled, BASE), Publish::Now);
    assert_eq!(ask(Some(&old), &new, None, BASE + 100 * DAY), Publish::Now, "the old one expired");
}
