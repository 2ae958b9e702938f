use std::future::pending;

use tokio::time::Instant;

use super::*;

const STEPS: Steps = Steps { linger: Duration::from_secs(5), deadline: Duration::from_secs(20) };

#[tokio::test]
async fn a_drain_starts_when_told_and_when_the_trigger_is_lost() {
    let (trigger, drain) = drain();
    assert!(!drain.draining() && !drain.leaving());
    trigger.start();
    drain.started().await;
    assert!(drain.draining() && drain.leaving());

    let (trigger, drain) = super::drain();
    drop(trigger);
    drain.started().await;
    assert!(drain.draining());
}

#[tokio::test(start_paused = true)]
async fn the_steps_come_in_order() {
    let readiness = Readiness::default();
    let (trigger, drain) = drain();
    let begin = Instant::now();
    let servers = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(readiness.missing(), [Readiness::STOPPING]);
        assert!(drain.leaving() && !drain.draining(), "still serving while lingering");
        drain.started().await;
        assert_eq!(begin.elapsed(), STEPS.linger);
        tokio::time::sleep(Duration::from_secs(3)).await;
        "done"
    };
    let outcome = in_order(&readiness, trigger, STEPS, servers, pending()).await;
    assert_eq!(outcome, Ok("done"));
    assert_eq!(begin.elapsed(), STEPS.linger + Duration::from_secs(3), "no waiting for the deadline");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_it() {
    let (trigger, _drain) = drain();
    let begin = Instant::now();
    let outcome = in_order(&Readiness::default(), trigger, STEPS, pending::<()>(), pending()).await;
    assert_eq!(outcome, Err(Unfinished::Deadline(STEPS.deadline)));
    assert_eq!(begin.elapsed(), STEPS.linger + STEPS.deadline);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_it_at_once() {
    let (trigger, drain) = drain();
    let begin = Instant::now();
    let again = tokio::time::sleep(Duration::from_secs(2));
    let outcome = in_order(&Readiness::default(), trigger, STEPS, pending::<()>(), again).await;
    assert_eq!(outcome, Err(Unfinished::Signal));
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
    assert!(drain.draining(), "whoever outlives the shutdown must see that it is over");
}

#[tokio::test(start_paused = true)]
async fn servers_that_end_early_end_the_linger() {
    let (trigger, _drain) = drain();
    let begin = Instant::now();
    let outcome = in_order(&Readiness::default(), trigger, STEPS, async {}, pending()).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(begin.elapsed(), Duration::ZERO);
}
