//! How long entries are fresh.
use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::testing;

const SECOND: i64 = 1_000;

fn cache() -> Arc<NearCache> {
    let options = NearOptions { bytes_max: Some(1 << 20), ..NearOptions::default() };
    NearCache::of(&options, "").unwrap().unwrap()
}

fn welcomed() -> Arc<Watch> {
    let watch = Watch::new();
    watch.heard(Instant::now());
    watch
}

fn fresh(fresh_for_ms: i64) -> v1::GetOrLockResponse {
    let payload = Some(v1::hit::Payload::Value("v".into()));
    let hit = v1::Hit { payload, fresh_for_ms, ..Default::default() };
    v1::GetOrLockResponse { outcome: Some(Outcome::Hit(hit)), ..Default::default() }
}

fn has(cache: &NearCache, key: &str) -> bool {
    let core = testing::client().get_or_rebuild(key).core;
    cache.get(&Options::of(&core, key.to_owned(), Duration::ZERO)).is_some()
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_fresh_from_its_request_on() {
    let (cache, watch) = (cache(), welcomed());
    let ticket = cache.ask("", "k").unwrap();
    advance(Duration::from_millis(800)).await;
    ticket.answered(&fresh(SECOND), &watch);
    advance(Duration::from_millis(100)).await;
    assert!(has(&cache, "k"));
    advance(Duration::from_millis(100)).await;
    assert!(!has(&cache, "k"), "its second is over");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_took_its_whole_time_is_not_kept() {
    let (cache, watch) = (cache(), welcomed());
    let ticket = cache.ask("", "k").unwrap();
    advance(Duration::from_millis(1_100)).await;
    ticket.answered(&fresh(SECOND), &watch);
    assert!(!has(&cache, "k"));
    assert_eq!(cache.entries.len(), 0, "it takes no room either");
}

#[tokio::test(start_paused = true)]
async fn the_entries_of_many_keys_are_fresh_from_their_request_on() {
    let (cache, watch) = (cache(), welcomed());
    let mut tickets = cache.ask_many("", &["a".to_owned(), "b".to_owned()]);
    let answer = |key: &str| {
        let result = Some(Answered::Response(fresh(SECOND)));
        v1::GetOrLockManyResponse { key: key.to_owned(), result }
    };
    advance(Duration::from_millis(800)).await;
    tickets.answered(&answer("a"), &watch);
    advance(Duration::from_millis(100)).await;
    assert!(has(&cache, "a"));
    advance(Duration::from_millis(100)).await;
    assert!(!has(&cache, "a"), "its second is over");
    advance(Duration::from_millis(100)).await;
    tickets.answered(&answer("b"), &watch);
    assert!(!has(&cache, "b"), "its answer took its whole time");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_ends_with_an_answer_over_another_session_also_if_that_is_not_kept() {
    let options = NearOptions { bytes_max: Some(1 << 20), serve_when_unavailable: true, ..NearOptions::default() };
    let (cache, first, second) = (NearCache::of(&options, "").unwrap().unwrap(), welcomed(), welcomed());
    let answer = |key, fresh_for_ms, watch| cache.ask("", key).unwrap().answered(&fresh(fresh_for_ms), watch);
    let is_left = |key: &str| {
        let core = testing::client().get_or_rebuild(key).core;
        cache.get_unavailable(&Options::of(&core, key.to_owned(), Duration::ZERO)).is_some()
    };
    for key in ["left", "untouched"] {
        answer(key, SECOND, &first);
    }
    cache.missed();
    for key in ["live", "own"] {
        answer(key, SECOND, &first);
    }
    for key in ["left", "live"] {
        answer(key, 0, &second);
    }
    answer("own", 0, &first);
    cache.missed();
    assert_eq!(["left", "live", "own", "untouched"].map(is_left), [false, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_large_value_has_room_in_a_cache_that_is_larger() {
    let options = NearOptions { bytes_max: Some(2 << 20), ..NearOptions::default() };
    let (cache, watch) = (NearCache::of(&options, "").unwrap().unwrap(), welcomed());
    let mut response = fresh(SECOND);
    let Some(Outcome::Hit(hit)) = &mut response.outcome else { panic!("no hit") };
    hit.payload = Some(v1::hit::Payload::Value(vec![0; 1 << 20].into()));
    cache.ask("", "k").unwrap().answered(&response, &watch);
    assert!(has(&cache, "k"));
}
