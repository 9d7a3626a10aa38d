//! Detects rebuilds that ask for their own key.
use std::{future::Future, sync::Arc};

use crate::{
    core::Core,
    error::Error,
    flights::KeyId,
    options::{Options, key_id, key_id_of},
};

tokio::task_local! {
    static INSIDE: Arc<Inside>;
}

/// The rebuild that the current code runs in, and those around it. It does not follow a task that the rebuild spawns:
/// such a call ends with its wait.
#[derive(Debug)]
pub(crate) struct Inside {
    /// The client, by its address.
    client: usize,
    key: KeyId,
    around: Around,
}

/// The rebuilds in which a call is made.
pub(crate) type Around = Option<Arc<Inside>>;

pub(crate) fn around() -> Around {
    INSIDE.try_with(Clone::clone).ok()
}

/// Refuses a rebuild that would wait for itself. It would hold its lease forever, and the whole fleet with it.
///
/// # Errors
/// [`Error::ReentrantRebuild`].
pub(crate) fn refuse_own_key(core: &Arc<Core>, options: &Options) -> Result<(), Error> {
    let mut next = options.around.as_ref();
    while let Some(inside) = next {
        if inside.client == address(core) && inside.key == key_id(options) {
            return Err(Error::ReentrantRebuild { key: options.key.clone() });
        }
        next = inside.around.as_ref();
    }
    Ok(())
}

/// Marks the rebuild of this call's key, in any task that polls it.
pub(crate) fn inside<F: Future>(
    core: &Arc<Core>,
    options: &Options,
    rebuild: F,
) -> impl Future<Output = F::Output> + use<F> {
    let inside = Inside { client: address(core), key: key_id(options), around: options.around.clone() };
    INSIDE.scope(Arc::new(inside), rebuild)
}

/// Like [`inside`], for the rebuild of several keys.
pub(crate) fn inside_all<F: Future>(
    core: &Arc<Core>,
    options: &Options,
    keys: &[String],
    rebuild: F,
) -> impl Future<Output = F::Output> + use<F> {
    let around = keys.iter().fold(options.around.clone(), |around, key| {
        let key = key_id_of(&options.namespace, key);
        Some(Arc::new(Inside { client: address(core), key, around }))
    });
    // Each rebuild has a key.
    let inside =
        around.unwrap_or_else(|| Arc::new(Inside { client: address(core), key: key_id(options), around: None }));
    INSIDE.scope(inside, rebuild)
}

fn address(core: &Arc<Core>) -> usize {
    Arc::as_ptr(core).addr()
}
