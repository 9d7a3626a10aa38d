//! One address of a session pool, and which of them has a key.
use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{address::Place, session::Session};

/// Until an address that failed is tried again: soon where it restarts, and seldom where it has gone.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// One address, with its session.
pub(crate) struct Member {
    /// None for the target as a whole: its connection goes to any of its addresses.
    pub place: Option<Place>,
    pub session: Arc<Session>,
    /// Which keys it has is by chance, so that a key that all processes want is not the burden of one replica.
    salt: RandomState,
    trying: Mutex<Trying>,
}

struct Trying {
    not_before: Instant,
    pause: Duration,
}

impl Member {
    pub fn new(place: Option<Place>, session: Arc<Session>) -> Arc<Self> {
        let trying = Mutex::new(Trying { not_before: Instant::now(), pause: Duration::ZERO });
        Arc::new(Self { place, session, salt: RandomState::new(), trying })
    }

    pub fn failed(&self) {
        let mut trying = self.trying();
        trying.pause = (trying.pause * 2).clamp(AGAIN_MIN, AGAIN_MAX);
        trying.not_before = Instant::now() + trying.pause;
    }

    pub fn stands(&self) {
        // When it breaks, it may be there again soon.
        *self.trying() = Trying { not_before: Instant::now() + AGAIN_MIN, pause: Duration::ZERO };
    }

    pub fn not_before(&self) -> Instant {
        self.trying().not_before
    }

    fn trying(&self) -> MutexGuard<'_, Trying> {
        self.trying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a call of this key goes: of those where a session stands, else of those that may be tried. The one with the
/// highest hash has it: a member that comes or goes moves no keys of the others. The target as a whole is the last.
pub(crate) fn choose<'a>(members: &'a [Arc<Member>], key: &str, tried: &[Arc<Member>]) -> Option<&'a Arc<Member>> {
    let left = || members.iter().filter(|member| !tried.iter().any(|other| Arc::ptr_eq(member, other)));
    let places = || left().filter(|member| member.place.is_some());
    let now = Instant::now();
    let rank = |member: &&Arc<Member>| member.salt.hash_one(key);
    places()
        .filter(|member| member.session.is_open())
        .max_by_key(rank)
        .or_else(|| places().filter(|member| member.not_before() <= now).max_by_key(rank))
        .or_else(|| places().max_by_key(rank))
        .or_else(|| left().next())
}
