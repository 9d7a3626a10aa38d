//! The leases of this process.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// How many losses are remembered that came before their leases.
const UNKNOWN_MAX: usize = 256;

/// The leases that this process holds, by token, so that a rebuild learns at once that its lease is lost.
#[derive(Default)]
pub(crate) struct LeaseRegistry(Mutex<Leases>);

#[derive(Default)]
struct Leases {
    held: HashMap<String, CancellationToken>,
    /// A lease and its loss may come in one message. Then it is lost before its rebuild begins.
    unknown: VecDeque<String>,
}

impl LeaseRegistry {
    pub fn watch(&self, token: &str, lost: &CancellationToken) {
        let mut leases = self.leases();
        if leases.unknown.iter().any(|unknown| unknown == token) {
            lost.cancel();
        } else {
            leases.held.insert(token.to_owned(), lost.clone());
        }
    }

    pub fn forget(&self, token: &str) {
        self.leases().held.remove(token);
    }

    /// The service reports the loss.
    pub fn lost(&self, token: String) {
        let mut leases = self.leases();
        if let Some(lost) = leases.held.remove(&token) {
            lost.cancel();
            return;
        }
        leases.unknown.push_back(token);
        if leases.unknown.len() > UNKNOWN_MAX {
            leases.unknown.pop_front();
        }
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, Leases> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
