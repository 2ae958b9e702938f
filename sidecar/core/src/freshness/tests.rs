use super::*;

use Freshness::{Due, Expired, Fresh, Short};

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

fn lifetime(lasts: u64, refresh_in: Option<u64>) -> Lifetime {
    let upkeep = Upkeep { refresh_in: refresh_in.map(Duration::from_secs), ..Upkeep::default() };
    Lifetime::new(at(1_000), Duration::from_secs(lasts), upkeep)
}

#[test]
fn a_token_ages() {
    // An hour: due at 1000 + 1800, short at 4600 - 300.
    let hour = lifetime(3_600, None);
    // Two minutes: due at 1000 + 60, short at 1120 - 30.
    let brief = lifetime(120, None);
    // A day, to be refreshed after an hour.
    let day = lifetime(86_400, Some(3_600));
    // An authority that says to refresh after the end is not believed.
    let late = lifetime(3_600, Some(7_200));
    for (token, now, freshness) in [
        (hour, 999, Short),
        (hour, 1_000, Fresh),
        (hour, 2_799, Fresh),
        (hour, 2_800, Due),
        (hour, 4_299, Due),
        (hour, 4_300, Short),
        (hour, 4_599, Short),
        (hour, 4_600, Expired),
        (hour, u64::MAX, Expired),
        (brief, 1_059, Fresh),
        (brief, 1_060, Due),
        (brief, 1_090, Short),
        (brief, 1_120, Expired),
        (day, 4_599, Fresh),
        (day, 4_600, Due),
        (late, 4_299, Fresh),
        (late, 4_300, Short),
        (lifetime(0, None), 1_000, Expired),
    ] {
        assert_eq!(token.freshness(at(now)), freshness, "{token:?} at {now}");
    }
}

#[test]
fn a_token_is_replaced_a_little_later_by_chance() {
    let with = |jitter| Lifetime::new(at(0), Duration::from_secs(3_600), Upkeep { jitter, ..Upkeep::default() });
    for (jitter, refresh) in [
        (0.0, 1_800),
        (0.5, 1_980),
        (1.0, 2_160),
        (-1.0, 1_800),
        (f64::NAN, 1_800),
        (f64::NEG_INFINITY, 1_800),
        (f64::INFINITY, 2_160),
        (7.0, 2_160),
    ] {
        let token = with(jitter);
        assert_eq!((token.freshness(at(refresh - 1)), token.freshness(at(refresh))), (Fresh, Due), "{jitter}");
        // Nothing else moves.
        assert_eq!((token.freshness(at(3_299)), token.freshness(at(3_300))), (Due, Short));
    }
    let hint = Upkeep { refresh_in: Some(Duration::from_secs(600)), jitter: 1.0, ..Upkeep::default() };
    let token = Lifetime::new(at(0), Duration::from_secs(3_600), hint);
    assert_eq!((token.freshness(at(959)), token.freshness(at(960))), (Fresh, Due));
}

#[test]
fn a_token_that_is_too_old_is_short() {
    let aged = |age| {
        let upkeep = Upkeep { max_age: Some(Duration::from_secs(age)), ..Upkeep::default() };
        Lifetime::new(at(0), Duration::from_secs(86_400), upkeep)
    };
    for (age, refresh, short) in
        [(3_600, 1_800, 3_600), (600, 300, 600), (86_400, 43_200, 86_100), (99_999, 43_200, 86_100)]
    {
        let token = aged(age);
        assert_eq!((token.freshness(at(refresh - 1)), token.freshness(at(refresh))), (Fresh, Due), "{age}");
        assert_eq!((token.freshness(at(short - 1)), token.freshness(at(short))), (Due, Short), "{age}");
        // What is old is still better than nothing.
        assert_eq!((token.freshness(at(86_399)), token.freshness(at(86_400))), (Short, Expired), "{age}");
    }
}

#[test]
fn an_outdated_token_is_short_until_it_ends() {
    let token = lifetime(3_600, None).outdated(at(1_500));
    for (now, freshness) in [(1_500, Short), (4_599, Short), (4_600, Expired)] {
        assert_eq!(token.freshness(at(now)), freshness, "{now}");
    }
    // One that is short already stays as it is.
    assert_eq!(lifetime(3_600, None).outdated(at(4_400)).freshness(at(4_350)), Short);
}

#[test]
fn decisions() {
    let token = lifetime(3_600, None);
    let (fresh, due, short, expired) = (at(1_001), at(3_000), at(4_400), at(5_000));
    let renew = |or_serve| Move::Renew { or_serve };
    for (token, demand, holding, now, expected) in [
        (None, Demand::Cached, false, fresh, renew(false)),
        (None, Demand::Cached, true, fresh, Move::Fail),
        (None, Demand::New, false, fresh, renew(false)),
        (Some(token), Demand::Cached, false, fresh, Move::Serve),
        (Some(token), Demand::Cached, true, fresh, Move::Serve),
        (Some(token), Demand::Cached, false, due, Move::ServeAndRenew),
        (Some(token), Demand::Cached, true, due, Move::Serve),
        (Some(token), Demand::Cached, false, short, renew(true)),
        (Some(token), Demand::Cached, true, short, Move::Serve),
        (Some(token), Demand::Cached, false, expired, renew(false)),
        (Some(token), Demand::Cached, true, expired, Move::Fail),
        (Some(token), Demand::New, false, fresh, renew(true)),
        (Some(token), Demand::New, true, fresh, Move::Serve),
        (Some(token), Demand::New, false, expired, renew(false)),
        // The resource has refused it: never again, not even for want of another.
        (Some(token), Demand::Other, false, fresh, renew(false)),
        (Some(token), Demand::Other, true, fresh, Move::Fail),
    ] {
        assert_eq!(decide(token, demand, holding, now), expected, "{demand:?}, holding {holding}, at {now}");
    }
}

proptest::proptest! {
    /// Whatever happens, an expired token is never handed out and a valid one is never withheld for a failure.
    #[test]
    fn a_valid_token_is_always_served(lasts in 0_u64..200_000, refresh in proptest::option::of(0_u64..200_000), max_age in proptest::option::of(0_u64..200_000), jitter: f64, outdated: Option<u64>, now in 0_u64..300_000, holding: bool) {
        let upkeep = Upkeep {
            refresh_in: refresh.map(Duration::from_secs),
            max_age: max_age.map(Duration::from_secs),
            jitter,
        };
        let token = Lifetime::new(at(1_000), Duration::from_secs(lasts), upkeep);
        let token = outdated.map_or(token, |now| token.outdated(at(now)));
        let valid = at(now) < token.expiry();
        let chosen = decide(Some(token), Demand::Cached, holding, at(now));
        let served_in_the_end = !matches!(chosen, Move::Fail | Move::Renew { or_serve: false });
        proptest::prop_assert_eq!(served_in_the_end, valid);
    }
}
