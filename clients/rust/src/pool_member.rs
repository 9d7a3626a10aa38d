//! One address of a session pool, and which of them has a key.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    address::Place,
    key_share::{hash_of, rank_of},
    session::Session,
};

/// How long until an address that failed is tried again: soon if it restarts, rarely if it is gone.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// One address, with its session.
pub(crate) struct Member {
    /// None for the target as a whole. Its connection goes to any of its addresses.
    pub place: Option<Place>,
    pub session: Arc<Session>,
    /// Determines which keys it has.
    seed: u32,
    trying: Mutex<Trying>,
}

struct Trying {
    not_before: Instant,
    pause: Duration,
}

impl Member {
    /// Clients with the same salt give a key to the same address.
    pub fn new(place: Option<Place>, session: Arc<Session>, salt: u32) -> Arc<Self> {
        let seed = salt ^ place.as_ref().map_or(0, |place| hash_of(&place.address.to_string()));
        let trying = Mutex::new(Trying { not_before: Instant::now(), pause: Duration::ZERO });
        Arc::new(Self { place, session, seed, trying })
    }

    pub fn failed(&self) {
        let mut trying = self.trying();
        trying.pause = (trying.pause * 2).clamp(AGAIN_MIN, AGAIN_MAX);
        trying.not_before = Instant::now() + trying.pause;
    }

    pub fn stands(&self) {
        // When it breaks, it may be back soon.
        *self.trying() = Trying { not_before: Instant::now() + AGAIN_MIN, pause: Duration::ZERO };
    }

    pub fn not_before(&self) -> Instant {
        self.trying().not_before
    }

    fn trying(&self) -> MutexGuard<'_, Trying> {
        self.trying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a call of this key goes: among those with an open session, else among those that may be tried. The one with
/// the highest rank has it, so a member that comes or goes moves no keys of the others. The target as a whole is the
/// last resort.
pub(crate) fn choose<'a>(members: &'a [Arc<Member>], key: &str, tried: &[Arc<Member>]) -> Option<&'a Arc<Member>> {
    let left = || members.iter().filter(|member| !tried.iter().any(|other| Arc::ptr_eq(member, other)));
    let places = || left().filter(|member| member.place.is_some());
    let now = Instant::now();
    let hash = hash_of(key);
    let rank = |member: &&Arc<Member>| rank_of(hash, member.seed);
    places()
        .filter(|member| member.session.is_open())
        .max_by_key(rank)
        .or_else(|| places().filter(|member| member.not_before() <= now).max_by_key(rank))
        .or_else(|| places().max_by_key(rank))
        .or_else(|| left().next())
}

/// The keys, grouped by the member that [has](choose) each of them, in their order.
pub(crate) fn groups(members: &[Arc<Member>], keys: Vec<String>) -> Vec<Vec<String>> {
    if let [_] = members {
        return vec![keys];
    }
    let mut by_member: Vec<Vec<String>> = members.iter().map(|_| Vec::new()).collect();
    for key in keys {
        let has = choose(members, &key, &[]);
        let at = members.iter().position(|member| has.is_some_and(|has| Arc::ptr_eq(member, has)));
        by_member[at.unwrap_or_default()].push(key);
    }
    by_member.retain(|group| !group.is_empty());
    by_member
}
