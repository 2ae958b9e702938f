#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn record(holder: &str, version: &str) -> Record {
    let holder = (!holder.is_empty()).then(|| holder.to_owned());
    Record { holder, duration: seconds(15), version: version.to_owned() }
}

#[test]
fn a_lease_is_made_followed_and_taken() {
    let mut election = Election::new("me".to_owned(), Terms::default());
    for (now, seen, expected) in [
        (0, None, Step::Create),
        (1, Some(record("other", "1")), Step::Follow),
        (15, Some(record("other", "1")), Step::Follow),
        // A renewal begins the time anew.
        (15, Some(record("other", "2")), Step::Follow),
        (29, Some(record("other", "2")), Step::Follow),
        (30, Some(record("other", "2")), Step::Take),
        (31, Some(record("", "3")), Step::Take),
        (32, Some(record("me", "4")), Step::Renew),
        (99, Some(record("me", "4")), Step::Renew),
        (99, None, Step::Create),
    ] {
        assert_eq!(election.next(seconds(now), seen.as_ref()), expected, "after {now} s: {seen:?}");
    }
}

#[test]
fn who_leads_stops_by_itself() {
    let mut election = Election::new("me".to_owned(), Terms::default());
    assert!(!election.leads(seconds(0)));
    election.won(seconds(100));
    assert!(election.leads(seconds(109)));
    assert!(!election.leads(seconds(110)));
    election.won(seconds(110));
    election.lost();
    assert!(!election.leads(seconds(110)));
}

/// What one replica does at a moment: reads, and writes later if it may.
#[derive(Clone, Copy, Debug)]
struct Turn {
    replica: usize,
    pause: u64,
    read_takes: u64,
    write_takes: u64,
    answer_is_lost: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    (0..3_usize, 0..4000_u64, 0..6000_u64, 0..6000_u64, prop::bool::weighted(0.2)).prop_map(
        |(replica, pause, read_takes, write_takes, answer_is_lost)| Turn {
            replica,
            pause,
            read_takes,
            write_takes,
            answer_is_lost,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    /// Whatever the network does: requests take long, and answers get lost. Turns of different replicas overlap, for each
    /// begins a pause after the last one began.
    #[test]
    fn no_two_lead(turns in prop::collection::vec(turn(), 1..60)) {
        let mut replicas: Vec<_> = (0..3).map(|me| Election::new(me.to_string(), Terms::default())).collect();
        let mut busy_until = [0_u64; 3];
        // When, by whom, what: reads come before what was written at the same time.
        let mut events: Vec<(u64, Turn)> = Vec::new();
        let mut begins = 0;
        for turn in turns {
            begins += turn.pause;
            let from = begins.max(busy_until[turn.replica]);
            busy_until[turn.replica] = from + turn.read_takes + turn.write_takes;
            events.push((from, turn));
        }
        let mut steps: Vec<(u64, bool, usize)> = Vec::new();
        for (index, (from, turn)) in events.iter().enumerate() {
            steps.push((from + turn.read_takes, false, index));
            steps.push((from + turn.read_takes + turn.write_takes, true, index));
        }
        steps.sort_unstable();
        let (mut stored, mut version) = (None::<Record>, 0_u64);
        let mut read: Vec<Option<(Step, Option<String>)>> = vec![None; events.len()];
        for (millis, writes, index) in steps {
            let (from, turn) = events[index];
            let now = Duration::from_millis(millis);
            let replica = &mut replicas[turn.replica];
            if writes {
                let (step, base) = read[index].take().unwrap();
                if step != Step::Follow && stored.as_ref().map(|record| record.version.clone()) == base {
                    version += 1;
                    stored = Some(record(replica.me(), &version.to_string()));
                    if !turn.answer_is_lost {
                        replica.won(Duration::from_millis(from + turn.read_takes));
                    }
                }
            } else {
                let step = replica.next(now, stored.as_ref());
                read[index] = Some((step, stored.as_ref().map(|record| record.version.clone())));
            }
            let leaders: Vec<_> = replicas.iter().filter(|replica| replica.leads(now)).map(Election::me).collect();
            prop_assert!(leaders.len() <= 1, "{leaders:?} lead after {now:?}");
        }
    }
}
