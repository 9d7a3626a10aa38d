//! A session with each address of the target.
use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, OnceCell},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    address::Place,
    calls::{DEADLINE, within},
    link::Link,
    open_calls::Ended,
    pool_member::{Member, choose, groups},
    session::{Hears, Session},
    transport::{Each, Request, Response, Terms},
    v1,
};

/// One process does not need more replicas.
const SESSIONS_MAX: usize = 8;
/// How often a name is looked up again. Sooner if an address has failed.
const LOOK_UP: Duration = Duration::from_secs(30);
const LOOK_UP_SOON: Duration = Duration::from_secs(1);
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// A session with each address of the target, so that the replicas share the calls of one process. All calls of a key
/// use the same one, so callers of a key meet on one replica. Calls use open sessions; missing ones are opened in the
/// background. A target with one address has one session, opened by its calls.
pub(crate) struct SessionPool {
    link: Arc<Link>,
    salt: u32,
    make: Box<dyn Fn(Arc<Link>) -> Arc<Session> + Send + Sync>,
    members: Mutex<Arc<[Arc<Member>]>>,
    /// Addresses that the name no longer has. Their calls end, and they get no new ones.
    gone: Mutex<Vec<Arc<Member>>>,
    looked_up: OnceCell<()>,
    changed: Arc<Notify>,
    has_keeper: AtomicBool,
    keeper: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl SessionPool {
    /// Pools with the same salt give a key to the same replica.
    pub fn new(link: Arc<Link>, salt: u32, holder: String, hears: Hears) -> Arc<Self> {
        let changed = Arc::new(Notify::new());
        let tells = changed.clone();
        Arc::new_cyclic(|pool: &Weak<Self>| {
            let pool = pool.clone();
            let make = Box::new(move |link| {
                let pool = pool.clone();
                let give_back = Box::new(move |release| drop(tokio::spawn(Self::give_back(pool.clone(), release))));
                Session::new(link, holder.clone(), hears.clone(), tells.clone(), give_back)
            });
            let whole = Member::new(None, make(link.clone()), salt);
            Self {
                link,
                salt,
                make,
                members: Mutex::new(Arc::new([whole])),
                gone: Mutex::default(),
                looked_up: OnceCell::new(),
                changed,
                has_keeper: AtomicBool::new(false),
                keeper: Mutex::default(),
            }
        })
    }

    /// A lease that no caller waits for goes to the next in line. If this fails, it expires by itself.
    async fn give_back(pool: Weak<Self>, release: v1::ReleaseRequest) {
        if let Some(pool) = pool.upgrade() {
            let _ = pool.ask(Request::Release(release), &within(DEADLINE, "")).await;
        }
    }

    pub async fn ask(self: &Arc<Self>, request: Request, terms: &Terms) -> Result<Response, Ended> {
        let members = self.ready().await;
        if let [only] = &*members {
            return only.session.ask(request, terms).await;
        }
        let mut tried = Vec::new();
        while let Some(member) = choose(&members, key_of(&request), &tried) {
            match member.session.ask(request.clone(), terms).await {
                // Nothing answers there. Another address may get the call.
                Err(Ended::NoSession) => self.passes_by(member, &mut tried),
                ended => return ended,
            }
        }
        Err(Ended::NoSession)
    }

    /// The keys must be those of one of the [groups](Self::groups).
    pub async fn ask_many(
        self: &Arc<Self>,
        request: v1::GetOrLockManyRequest,
        terms: &Terms,
        each: &mut Each<'_>,
    ) -> Result<(), Ended> {
        let members = self.ready().await;
        let key = request.keys.first().cloned().unwrap_or_default();
        let mut tried = Vec::new();
        while let Some(member) = choose(&members, &key, &tried) {
            match member.session.ask_many(request.clone(), terms, each).await {
                Err(Ended::NoSession) => self.passes_by(member, &mut tried),
                ended => return ended,
            }
        }
        Err(Ended::NoSession)
    }

    /// The keys, grouped by the session that would have each of them alone.
    pub async fn groups(self: &Arc<Self>, keys: Vec<String>) -> Vec<Vec<String>> {
        groups(&self.ready().await, keys)
    }

    fn passes_by(&self, member: &Arc<Member>, tried: &mut Vec<Arc<Member>>) {
        member.failed();
        tried.push(member.clone());
        self.changed.notify_one();
    }

    /// Whether some session is welcomed, as far as is known now.
    pub async fn is_welcomed(self: &Arc<Self>) -> bool {
        let members = self.ready().await;
        let (first, others) = members.split_first().expect("one at least");
        if others.is_empty() {
            return first.session.is_welcomed().await;
        }
        let mut welcomes: FuturesUnordered<_> = others.iter().map(|member| member.session.is_welcomed()).collect();
        while let Some(is_welcomed) = welcomes.next().await {
            if is_welcomed {
                return true;
            }
        }
        false
    }

    /// It receives all changes now. Each session reports all of them.
    pub fn watches(&self) -> bool {
        self.members().iter().any(|member| member.session.watches())
    }

    /// The members, once they are known. No call waits longer for this than for a connection.
    async fn ready(self: &Arc<Self>) -> Arc<[Arc<Member>]> {
        if !self.link.address().may_be_several() {
            return self.members();
        }
        self.looked_up.get_or_init(|| self.look_up()).await;
        if !self.has_keeper.swap(true, Ordering::Relaxed) {
            let keeping = tokio::spawn(Self::keep(Arc::downgrade(self), self.changed.clone()));
            *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(AbortOnDropHandle::new(keeping));
        }
        self.members()
    }

    /// Opens missing sessions, and looks the name up again.
    async fn keep(pool: Weak<Self>, changed: Arc<Notify>) {
        let mut look_up_at = Instant::now() + LOOK_UP;
        loop {
            let until = {
                let Some(pool) = pool.upgrade() else { return };
                let has_names = pool.link.address().has_names();
                if has_names && Instant::now() >= look_up_at {
                    pool.look_up().await;
                    look_up_at = Instant::now() + LOOK_UP;
                }
                let missing = pool.open_missing();
                if has_names && missing.is_some() {
                    look_up_at = look_up_at.min(Instant::now() + LOOK_UP_SOON);
                }
                let missing = missing.unwrap_or_else(|| Instant::now() + FOREVER);
                if has_names { missing.min(look_up_at) } else { missing }
            };
            tokio::select! {
                () = changed.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// When the next one may be opened; none if all are open.
    fn open_missing(&self) -> Option<Instant> {
        let members = self.members();
        let missing = members.iter().filter(|member| member.place.is_some() && !member.session.is_open());
        missing
            .map(|member| {
                if member.not_before() <= Instant::now() {
                    // Counts as failed until it is open.
                    member.failed();
                    let member = member.clone();
                    tokio::spawn(async move {
                        if member.session.is_welcomed().await {
                            member.stands();
                        }
                    });
                }
                member.not_before()
            })
            .min()
    }

    async fn look_up(&self) {
        if let Ok(Ok(found)) = timeout(self.link.connect_timeout(), self.link.address().resolve()).await {
            self.replace(found);
        }
    }

    /// A name with one address uses the session of the target as a whole.
    fn replace(&self, mut found: Vec<Place>) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() == 1 && members.len() == 1 {
            return;
        }
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|member| member.session.is_open());
        let is_used = |place: &Place| members.iter().any(|member| member.place.as_ref() == Some(place));
        // Used addresses stay, and others are chosen at random, so that all replicas have users.
        fastrand::shuffle(&mut found);
        found.sort_by_key(|place| !is_used(place));
        found.truncate(SESSIONS_MAX);
        let known: Vec<_> = members.iter().chain(gone.iter()).cloned().collect();
        let at = |place: Place| {
            let same = known.iter().find(|member| member.place.as_ref() == Some(&place)).cloned();
            same.unwrap_or_else(|| {
                Member::new(Some(place.clone()), (self.make)(Arc::new(self.link.at(&place))), self.salt)
            })
        };
        let next: Vec<_> = members.iter().take(1).cloned().chain(found.into_iter().map(at)).collect();
        *gone = known.into_iter().filter(|one| !next.iter().any(|other| Arc::ptr_eq(one, other))).collect();
        *members = next.into();
    }

    fn members(&self) -> Arc<[Arc<Member>]> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn key_of(request: &Request) -> &str {
    match request {
        Request::GetOrLock(request) => &request.key,
        Request::Publish(request) => &request.key,
        Request::Release(request) => &request.key,
        Request::Extend(request) => &request.key,
        Request::Explain(request) => &request.key,
        Request::Invalidate(_) | Request::GetOrLockMany(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Named;

    fn pool() -> Arc<SessionPool> {
        let named = Named { target: Some("dibs.example:1".to_owned()), ..Named::default() };
        let link = Arc::new(Link::new(&named.or_environment()).unwrap());
        SessionPool::new(link, fastrand::u32(..), String::new(), Hears::default())
    }

    fn places(ips: impl IntoIterator<Item = u8>) -> Vec<Place> {
        let at = |ip| Place { name: "dibs.example:1".to_owned(), address: ([10, 0, 0, ip], 1).into() };
        ips.into_iter().map(at).collect()
    }

    fn last_parts(members: &[Arc<Member>]) -> Vec<u8> {
        let last = |member: &Arc<Member>| match member.place.as_ref()?.address.ip() {
            std::net::IpAddr::V4(ip) => Some(ip.octets()[3]),
            std::net::IpAddr::V6(_) => None,
        };
        let mut ips: Vec<_> = members.iter().filter_map(last).collect();
        ips.sort_unstable();
        ips
    }

    #[test]
    fn a_name_with_one_address_has_the_session_of_the_target() {
        let pool = pool();
        pool.replace(places([1]));
        assert_eq!(pool.members().len(), 1);
        pool.replace(places([1, 2]));
        assert_eq!(last_parts(&pool.members()), [1, 2]);
        assert!(pool.members()[0].place.is_none(), "it is there for when none of them answers");
    }

    #[test]
    fn what_is_used_stays_and_no_process_uses_more_than_its_share() {
        let pool = pool();
        pool.replace(places(1..=8));
        assert_eq!(last_parts(&pool.members()), [1, 2, 3, 4, 5, 6, 7, 8]);
        let before = pool.members();
        pool.replace(places(1..=30));
        let after = pool.members();
        assert_eq!(last_parts(&after), [1, 2, 3, 4, 5, 6, 7, 8]);
        for member in before.iter() {
            assert!(after.iter().any(|other| Arc::ptr_eq(member, other)), "a session that stands is kept");
        }
        pool.replace(places([1, 2, 9]));
        assert_eq!(last_parts(&pool.members()), [1, 2, 9]);
    }

    #[test]
    fn each_has_its_share_of_the_keys_and_only_those_of_one_that_fails_move() {
        let pool = pool();
        pool.replace(places([1, 2, 3]));
        let members = pool.members();
        let tried = [members[2].clone()];
        let mut counts = [0; 4];
        for at in 0..3_000 {
            let key = format!("key {at}");
            let at = |tried: &[Arc<Member>]| {
                let chosen = choose(&members, &key, tried).unwrap();
                members.iter().position(|member| Arc::ptr_eq(member, chosen)).unwrap()
            };
            counts[at(&[])] += 1;
            assert!(at(&[]) == 2 || at(&tried) == at(&[]));
        }
        assert!(counts[0] == 0 && counts[1..].iter().all(|count| *count > 800), "{counts:?}");
        assert!(choose(&members, "k", &members[1..]).unwrap().place.is_none());
        assert!(choose(&members, "k", &members).is_none());
    }
}
