//! A beat that comes long after the last: this process was held up.
use futures_util::FutureExt;
use tokio::time::advance;

use super::*;
use crate::{
    flights::{Beside, Landed},
    near_cache::{NearOptions, Ticket},
    options::{Named, Options},
    testing,
    v1::get_or_lock_response::Outcome,
    watch::Watch,
};

const MS: Duration = Duration::from_millis(1);
/// When a beat is late.
const LATE: Duration = Duration::from_secs(3);

/// A welcomed session that watches, with an entry of `k` in the near cache.
struct Watched {
    session: Arc<Session>,
    open: Arc<OpenCalls>,
    near: Arc<NearCache>,
    options: Options,
}

impl Watched {
    fn begin(serve_when_unavailable: bool) -> Self {
        let named = Named { target: Some("127.0.0.1:1".to_owned()), ..Named::default() };
        let link = Arc::new(Link::new(&named.or_environment()).unwrap());
        let options = NearOptions { bytes_max: Some(1 << 20), serve_when_unavailable, ..NearOptions::default() };
        let near = NearCache::of(&options, "").unwrap();
        let hears = Hears { near: near.clone(), ..Hears::default() };
        let session = Session::new(link, String::new(), hears, Arc::default(), Box::new(|_| {}));
        let (line, _) = Line::new(v1::SessionHello::default());
        let open = line.open_calls();
        session.state().line = Some(line);
        open.watching.begin(|| panic!("the welcome is on time"));
        let options = Options::of(&testing::client().get_or_rebuild("k").core, "k".to_owned(), LATE);
        let watched = Self { session, open, near: near.unwrap(), options };
        let asked = watched.asked();
        watched.answered(asked);
        watched
    }

    fn asked(&self) -> (Ticket, Arc<Watch>) {
        (self.near.ask("", "k").unwrap(), self.open.watching.current())
    }

    fn answered(&self, (ticket, watch): (Ticket, Arc<Watch>)) {
        let payload = Some(v1::hit::Payload::Value("v".into()));
        let hit = v1::Hit { payload, fresh_for_ms: 60_000, ..Default::default() };
        ticket.answered(&v1::GetOrLockResponse { outcome: Some(Outcome::Hit(hit)), ..Default::default() }, &watch);
    }

    /// Another session of the same client.
    fn another(&self) -> (Arc<Session>, Arc<OpenCalls>) {
        let (link, hears) = (self.session.link.clone(), self.session.hears.clone());
        let other = Session::new(link, String::new(), hears, Arc::default(), Box::new(|_| {}));
        let (line, _) = Line::new(v1::SessionHello::default());
        let open = line.open_calls();
        other.state().line = Some(line);
        (other, open)
    }

    fn has(&self) -> bool {
        self.near.get(&self.options).is_some()
    }

    fn beat(&self) {
        let events = vec![v1::SessionEvent { event: Some(v1::session_event::Event::Beat(v1::Beat {})) }];
        let message = v1::SessionResponse { events, ..Default::default() };
        Session::heard(&Arc::downgrade(&self.session), &self.open, message);
    }

    /// Whether a call joins the flight of an earlier one, whose request was sent while the session was live.
    fn joins(&self) -> bool {
        let fly = |_| std::future::ready(Landed::LeaseLost(None));
        let until = Instant::now() + LATE;
        self.session.hears.flights.board(&self.options, self.session.watches(), until, fly).is_joined()
    }
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_is_late_drops_what_was_there_and_what_is_under_way() {
    for (after, is_late) in [(LATE - MS, false), (LATE, true)] {
        let watched = Watched::begin(false);
        advance(after).await;
        watched.beat();
        assert_eq!(watched.has(), !is_late);
        watched.near.drop_key("", "k");

        let asked = watched.asked();
        advance(after).await;
        watched.beat();
        watched.answered(asked);
        assert_eq!(watched.has(), !is_late);

        let asked = watched.asked();
        watched.answered(asked);
        assert!(watched.has(), "later requests fill it again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_late_beat_drops_may_serve_without_the_service() {
    let watched = Watched::begin(true);
    advance(LATE).await;
    watched.beat();
    assert!(!watched.has());
    assert!(watched.near.get_unavailable(&watched.options).is_some());
    watched.near.drop_broken();
    assert!(watched.near.get_unavailable(&watched.options).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_late_beat_closes_what_could_be_joined() {
    let watched = Watched::begin(false);
    let flights = &watched.session.hears.flights;
    let until = Instant::now() + 2 * LATE;
    let mut flight = None;
    let fly = |its| {
        flight = Some(its);
        std::future::pending()
    };
    let seat = flights.board(&watched.options, true, until, fly);
    flight.unwrap().sent(watched.session.watches());
    advance(LATE - MS).await;
    assert!(watched.joins());
    watched.beat();
    assert!(watched.joins());
    advance(LATE).await;
    assert!(!watched.joins(), "the session may have missed a change");
    watched.beat();
    assert!(!watched.joins());
    assert!(seat.landed(until).now_or_never().is_none(), "its own caller still waits");
}

#[tokio::test(start_paused = true)]
async fn a_late_beat_of_a_session_that_was_left_revives_nothing() {
    let watched = Watched::begin(false);
    watched.session.leave(&watched.open);
    advance(LATE).await;
    watched.beat();
    let asked = watched.asked();
    watched.answered(asked);
    assert!(!watched.has());
}

/// The one over which it was sent may have missed a change, and the new one reports only later ones.
#[tokio::test(start_paused = true)]
async fn a_new_session_closes_what_was_sent_over_another() {
    let watched = Watched::begin(false);
    let flights = &watched.session.hears.flights;
    let mut flight = None;
    let fly = |its| {
        flight = Some(its);
        std::future::pending()
    };
    let _seat = flights.board(&watched.options, true, Instant::now() + 2 * LATE, fly);
    flight.unwrap().sent(true);
    assert!(watched.joins());
    advance(LATE).await;

    let (other, open) = watched.another();
    Session::begin(&Arc::downgrade(&other), &open);
    assert!(other.watches() && !watched.session.watches());
    let fly = |_| std::future::ready(Landed::LeaseLost(None));
    assert!(!flights.board(&watched.options, other.watches(), Instant::now() + LATE, fly).is_joined());
}

/// A session that ends is a change of everything.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_left_takes_along_what_came_over_another() {
    for serves in [false, true] {
        let watched = Watched::begin(serves);
        let (other, open) = watched.another();
        other.leave(&open);
        assert!(!watched.has());
        assert_eq!(watched.near.get_unavailable(&watched.options).is_some(), serves);
        watched.answered(watched.asked());
        assert!(watched.has(), "later requests fill it again");
    }
}

/// As the first call of a client, which opens the session.
#[tokio::test(start_paused = true)]
async fn a_welcome_leaves_rebuilds_open_whose_request_came_before_it() {
    let watched = Watched::begin(false);
    let mut flight = None;
    let fly = |its| {
        flight = Some(its);
        std::future::pending()
    };
    let flights = &watched.session.hears.flights;
    let _seat = flights.board(&watched.options, false, Instant::now() + LATE, fly);
    let flight = flight.unwrap();
    flight.sent(false);
    Session::begin(&Arc::downgrade(&watched.session), &watched.open);
    flight.leased(Beside::Nothing);
    assert!(watched.joins());
}
