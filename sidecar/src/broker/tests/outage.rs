//! What an application notices of an authority that is away: nothing, while it has a valid token.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_outage_is_invisible_while_a_token_is_valid() {
    let (mock, broker) = broker(4);
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    mock.goes_down(Some(unavailable()));
    // Asked every ten seconds until just before the end of the hour.
    let start = Instant::now();
    while start.elapsed() < HOUR - MINUTE {
        assert_eq!(token(&broker).await.as_deref(), Ok("token 1"), "after {:?}", start.elapsed());
        sleep(10 * SECOND).await;
    }
    let during = mock.calls();
    // Of 29 minutes of trying, never more often than every 7.5 seconds after the first few.
    assert!((30..=29 * 8).contains(&during), "{during} exchanges");
    sleep(2 * MINUTE).await;
    assert_eq!(token(&broker).await, Err("unavailable"), "an expired token is never handed out");
    mock.goes_down(None);
    sleep(16 * SECOND).await;
    assert!(token(&broker).await.unwrap().starts_with("token "));
}

/// Every way to be away, for an hour, beginning at any time of a token's life that leaves as much.
#[tokio::test(start_paused = true)]
async fn an_hour_of_outage_loses_nothing() {
    let refused = Failure::Unavailable { description: "HTML".to_owned(), retry_after: None, may_pass: false };
    let throttled = Failure::Throttled { retry_after: Some(HOUR) };
    for outage in [unavailable(), refused, throttled] {
        for begins in [MINUTE, 2 * HOUR, 11 * HOUR, 12 * HOUR, 20 * HOUR, 22 * HOUR + 50 * MINUTE] {
            let (mock, broker) = broker(4);
            *mock.lasts.lock().unwrap() = 24 * HOUR;
            assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
            // Nobody asked meanwhile, so the first one is still there.
            advance(begins).await;
            mock.goes_down(Some(outage.clone()));
            let (start, mut waited) = (Instant::now(), Duration::ZERO);
            while start.elapsed() < HOUR {
                let asked = Instant::now();
                assert_eq!(token(&broker).await.as_deref(), Ok("token 1"), "{outage:?} at {begins:?}");
                waited = waited.max(asked.elapsed());
                sleep(5 * SECOND).await;
            }
            assert!(waited <= PATIENCE, "{waited:?}");
            mock.goes_down(None);
            sleep(MINUTE + Mock::LATENCY).await;
            let _ = token(&broker).await;
            sleep(Mock::LATENCY + SECOND).await;
            let renewed = token(&broker).await.unwrap() != "token 1";
            assert_eq!(renewed, begins + HOUR >= 12 * HOUR, "at {begins:?}");
        }
    }
}

/// With nothing at hand, callers are told as soon as the authority is back, and it is not flooded before.
#[tokio::test(start_paused = true)]
async fn an_authority_that_comes_back_is_noticed() {
    let (mock, broker) = broker(4);
    mock.goes_down(Some(unavailable()));
    let start = Instant::now();
    while start.elapsed() < HOUR {
        assert_eq!(token(&broker).await, Err("unavailable"));
        sleep(SECOND).await;
    }
    // Fifteen seconds of rest at most, and half as much at least, beside the two of each attempt.
    assert!((3_600 / 17..=3_600 / 9).contains(&mock.calls()), "{}", mock.calls());
    mock.goes_down(None);
    sleep(15 * SECOND).await;
    assert!(token(&broker).await.is_ok());
}
