use super::*;

use Freshness::{Due, Expired, Fresh, Short};

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

fn lifetime(lasts: u64, refresh_in: Option<u64>) -> Lifetime {
    Lifetime::new(at(1_000), Duration::from_secs(lasts), refresh_in.map(Duration::from_secs))
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
    fn a_valid_token_is_always_served(lasts in 0_u64..200_000, refresh in proptest::option::of(0_u64..200_000), now: u64, holding: bool) {
        let token = lifetime(lasts, refresh);
        let valid = at(now) < token.expiry();
        let chosen = decide(Some(token), Demand::Cached, holding, at(now));
        let served_in_the_end = !matches!(chosen, Move::Fail | Move::Renew { or_serve: false });
        proptest::prop_assert_eq!(served_in_the_end, valid);
    }
}
