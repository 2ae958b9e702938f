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
    next(&State::parse(data, &names(), now), &View::default(), &Policy::default(), now)
}

#[test]
fn time_alone_moves_through_the_renewals() {
    // Two thirds of a leaf's 90 days, and of an authority's 365: 243.3.
    let whole = made(&Bundle::default());
    for (now, action) in [
        (BASE, Action::Keep),
        (BASE + 59 * DAY, Action::Keep),
        (BASE + 60 * DAY - HOUR, Action::Keep),
        (BASE + 60 * DAY, Action::NewLeaf(Why::Ending)),
        (BASE + 89 * DAY, Action::NewLeaf(Why::Ending)),
        (BASE + 91 * DAY, Action::NewLeaf(Why::Unusable)),
        (BASE + 243 * DAY, Action::NewLeaf(Why::Unusable)),
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
fn what_a_shorter_policy_or_an_authoritys_end_left_short_is_replaced_in_its_last_third() {
    let short = Policy { authority: Lifetime::of(30 * DAY), ..Policy::default() };
    let whole = issue::whole(&names(), &short, &Bundle::default(), BASE).unwrap();
    // Authority and leaf end on day 30; the default policy would have replaced the leaf on day 60.
    let data = whole.to_data();
    assert_eq!(planned(Some(&data), BASE + 19 * DAY), Action::Keep);
    assert_eq!(planned(Some(&data), BASE + 21 * DAY), Action::NewAuthority(Why::Ending));
    // Once a leaf is all that the end of its authority left, it is not made over and over.
    let leaf = issue::leaf(&whole.authority, &names(), &short, BASE + 12 * DAY).unwrap();
    let data = Whole { leaf, ..whole }.to_data();
    assert_eq!(planned(Some(&data), BASE + 12 * DAY), Action::Keep);
    assert_eq!(planned(Some(&data), BASE + 19 * DAY), Action::Keep);
}

#[test]
fn a_life_of_seconds_is_not_over_at_its_start() {
    // Though validity begins an hour before.
    let seconds = |valid, renewed_after| Lifetime {
        valid: Duration::from_secs(valid),
        renewed_after: Duration::from_secs(renewed_after),
    };
    let policy = Policy { authority: seconds(60, 10), leaf: seconds(30, 5), ..Policy::default() };
    let data = issue::whole(&names(), &policy, &Bundle::default(), BASE).unwrap().to_data();
    for (after, action) in [
        (0, Action::Keep),
        (4, Action::Keep),
        (5, Action::NewLeaf(Why::Ending)),
        (10, Action::NewAuthority(Why::Ending)),
    ] {
        let now = BASE + Duration::from_secs(after);
        assert_eq!(next(&State::parse(Some(&data), &names(), now), &View::default(), &policy, now), action, "{after}");
    }
}

#[test]
fn an_old_authority_is_trusted_for_the_overlap_and_until_all_follow() {
    let policy = Policy::default();
    let old = issue::whole(&names(), &policy, &Bundle::default(), BASE - 200 * DAY).unwrap();
    let data = made(&old.bundle).to_data();
    let after = |now: OffsetDateTime, steady: Option<Duration>| {
        let view = View { steady, ..View::default() };
        next(&State::parse(Some(&data), &names(), now), &view, &policy, now)
    };
    let followed = Some(2 * policy.follow());
    assert_eq!(after(BASE + policy.overlap - HOUR, Some(2 * DAY)), Action::Keep);
    assert_eq!(after(BASE + policy.overlap, followed), Action::Retire);
    assert_eq!(after(BASE + policy.overlap, followed.map(|followed| followed - Duration::from_secs(1))), Action::Keep);
    assert_eq!(after(BASE + 3 * policy.overlap, None), Action::Keep, "as after a jump of the clock, or a restart");
}

#[test]
fn what_nobody_served_yet_is_put_back() {
    let view = View { remembers: true, ..View::default() };
    let ask = |data: Option<&Data>| next(&State::parse(data, &names(), BASE), &view, &Policy::default(), BASE);
    assert_eq!(ask(None), Action::Restore);
    assert_eq!(ask(Some(&made(&Bundle::default()).to_data())), Action::Keep);
}

#[test]
fn what_is_trusted_is_taken_in_where_the_history_is_another() {
    let policy = Policy::default();
    let [old, middle, new] =
        [20, 10, 0].map(|ago| issue::authority(&policy, BASE - ago * DAY).unwrap().certificate().clone());
    let bundle = |all: &[&Certificate]| {
        all.iter().rev().fold(Bundle::default(), |bundle, one| bundle.succeeded_by((*one).clone()))
    };
    let (soon, later) = (false, true);
    for (what, stored, live, followed, expected, is_new) in [
        ("all is well", bundle(&[&new, &old]), bundle(&[&new, &old]), soon, bundle(&[&new, &old]), false),
        ("nothing is trusted yet", bundle(&[&new]), bundle(&[]), soon, bundle(&[&new]), false),
        ("not yet injected", bundle(&[&new, &old]), bundle(&[&old]), later, bundle(&[&new, &old]), false),
        ("retired, not yet injected", bundle(&[&new]), bundle(&[&new, &old]), later, bundle(&[&new]), false),
        ("lost at a rotation", bundle(&[&new]), bundle(&[&new, &old]), soon, bundle(&[&new, &old]), true),
        ("from a backup", bundle(&[&old]), bundle(&[&new]), later, bundle(&[&old, &new]), true),
        ("from a backup, at a rotation", bundle(&[&old]), bundle(&[&new, &old]), soon, bundle(&[&old, &new]), true),
        ("from another one's", bundle(&[&new]), bundle(&[&middle, &old]), later, bundle(&[&new, &middle, &old]), true),
        ("deleted", bundle(&[]), bundle(&[&new, &old]), soon, bundle(&[&new, &old]), true),
    ] {
        assert_eq!(stored.adopting(&live, followed), (expected, is_new), "{what}");
    }
    let data = made(&Bundle::default()).to_data();
    let view = View { adopted: true, steady: Some(9 * DAY), ..View::default() };
    let state = State::parse(Some(&data), &names(), BASE + 2 * DAY);
    assert_eq!(next(&state, &view, &policy, BASE + 2 * DAY), Action::Adopt);
}

#[test]
fn bundles_keep_the_newest_first_and_never_grow_without_end() {
    let policy = Policy::default();
    let mut bundle = Bundle::default();
    let made: Vec<Certificate> = (0..10)
        .map(|day| issue::authority(&policy, BASE + day * DAY).unwrap().certificate().clone())
        .inspect(|authority| bundle = bundle.succeeded_by(authority.clone()))
        .collect();
    assert_eq!(bundle.signing(), Some(&made[9]));
    let kept: Vec<bool> = made.iter().map(|authority| bundle.contains(authority)).collect();
    assert_eq!(kept, [false, false, true, true, true, true, true, true, true, true]);
    assert_eq!(Bundle::from_pem(bundle.to_pem().as_bytes()).as_ref(), Ok(&bundle));
}

#[test]
fn a_new_authoritys_leaf_waits_until_api_servers_trust_it() {
    let policy = Policy::default();
    let authority = |made_at| issue::authority(&policy, made_at).unwrap().certificate().clone();
    let (old, new) = (authority(BASE - DAY), authority(BASE));
    let served = Served { authority: old.clone(), ends: 100 * DAY };
    let second = Duration::from_secs(1);
    let ask = |served, candidate, trusted: Option<Duration>, uptime| {
        publish(served, candidate, Trust { candidate: trusted, served: true }, &policy, uptime)
    };

    assert_eq!(ask(None, &new, None, DAY), Publish::Now, "there is nothing to lose");
    assert_eq!(ask(Some(&served), &old, None, DAY), Publish::Now, "trust does not change");
    assert_eq!(ask(Some(&served), &new, None, DAY), Publish::In(policy.settle));
    assert_eq!(ask(Some(&served), &new, Some(second), DAY), Publish::In(policy.settle - second));
    assert_eq!(ask(Some(&served), &new, Some(policy.settle), DAY), Publish::Now);
    assert_eq!(ask(Some(&served), &new, None, 100 * DAY), Publish::Now, "the old one ended");

    let lost = |candidate| publish(Some(&served), &new, Trust { candidate, served: false }, &policy, DAY);
    assert_eq!(lost(Some(second)), Publish::Now, "only the new one is trusted");
    assert_eq!(lost(None), Publish::In(policy.settle), "neither is");
}

#[test]
fn a_replica_that_starts_in_a_rotation_is_ready_when_the_others_may_serve_the_new_leaf() {
    let policy = Policy::default();
    let alone = made(&Bundle::default()).bundle;
    let rotated = made(&alone).bundle;
    let second = Duration::from_secs(1);
    for (trusted, bundle, is_ready) in [
        (None, &alone, false),
        (Some(Duration::ZERO), &alone, true),
        (Some(Duration::ZERO), &rotated, false),
        (Some(policy.settle - second), &rotated, false),
        (Some(policy.settle), &rotated, true),
    ] {
        assert_eq!(ready(trusted, bundle, &policy), is_ready, "{trusted:?}");
    }
}
