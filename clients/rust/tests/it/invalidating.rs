//! The client's own invalidations.
use crate::support::{answers::invalidated, call_error, fake::Fake};
use dibs::v1::{InvalidateRequest, session_call::Request};

fn sent(fake: &Fake) -> Vec<InvalidateRequest> {
    let requests = fake.heard().into_iter().map(|heard| heard.request);
    requests.filter_map(|request| if let Request::Invalidate(it) = request { Some(it) } else { None }).collect()
}

#[tokio::test]
async fn of_nothing_asks_nobody() {
    let fake = Fake::start().await;
    let client = fake.client();
    let none: [&str; 0] = [];
    assert_eq!(client.invalidate().keys(none).now().await.unwrap().keys_invalidated, 0);
    assert_eq!(client.invalidate().tags(none).keys(none).now().await.unwrap().leases_voided, 0);
    assert!(sent(&fake).is_empty());
    // Where nothing is named at all, something was forgotten.
    call_error(client.invalidate().now().await.unwrap_err());
}

#[tokio::test]
async fn of_many_keys_travel_in_several_calls() {
    let fake = Fake::start().await;
    fake.will("invalidate", [invalidated(1)]);
    let keys = (0..2_500).map(|n| n.to_string());
    let done = fake.client().invalidate().keys(keys).tags(["t"]).mark_stale().now().await.unwrap();
    assert_eq!(done.keys_invalidated, 3);
    let sent = sent(&fake);
    assert_eq!(sent.iter().map(|request| request.keys.len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    assert_eq!(sent.iter().map(|request| request.tags.len()).collect::<Vec<_>>(), [1, 0, 0]);
    assert!(sent.iter().all(|request| request.mode() == dibs::v1::InvalidateMode::MarkStale));
    assert_eq!(sent[2].keys[499], "2499");
}
