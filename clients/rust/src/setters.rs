//! The options of calls, each told once: `setters!(wait stale)` in the `impl` of what has `options`.

macro_rules! setters {
    ($($name:ident)*) => { $($crate::setters::setters!(@ $name);)* };
    (@ namespace) => {
        /// Default: the client's namespace.
        pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
            self.options.namespace = namespace.into();
            self
        }
    };
    (@ stale_ttl) => {
        /// How long after the TTL it may be served stale: 0 to a year. Default: the namespace's policy.
        pub fn stale_ttl(mut self, stale_ttl: Duration) -> Self {
            self.options.stale_ttl = Some(stale_ttl);
            self
        }
    };
    (@ absent_ttl) => {
        /// Replaces the TTL if the source has nothing. Default: the TTL.
        pub fn absent_ttl(mut self, absent_ttl: Duration) -> Self {
            self.options.absent_ttl = Some(absent_ttl);
            self
        }
    };
    (@ tags) => {
        /// Tags that invalidate the value: at most 16, each of 1 to 256 bytes.
        pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
            self.options.tags = tags.into_iter().map(Into::into).collect();
            self
        }
    };
    (@ wait) => {
        /// How long to wait for another caller's rebuild; zero does not wait. Default: 30 s.
        pub fn wait(mut self, wait: Duration) -> Self {
            self.options.wait = Some(wait);
            self
        }
    };
    (@ lease_for) => {
        /// How long the lease lasts; it is extended while the rebuild runs. Default: learned by the service.
        pub fn lease_for(mut self, lease: Duration) -> Self {
            self.options.lease = Some(lease);
            self
        }
    };
    (@ stale) => {
        /// Whether a stale value is acceptable. Default: the namespace's policy.
        pub fn stale(mut self, stale: Stale) -> Self {
            self.options.stale = Some(stale);
            self
        }
    };
    (@ read) => {
        /// Which copies may answer. Default: [`Read::Near`].
        pub fn read(mut self, read: Read) -> Self {
            self.options.read = read;
            self
        }
    };
    (@ refresh) => {
        /// Rebuilds now, even if the value is fresh. Default: false.
        pub fn refresh(mut self, refresh: bool) -> Self {
            self.options.refresh = refresh;
            self
        }
    };
    (@ revalidate) => {
        /// Default: [`Revalidate::Background`]; with `refresh` always as [`Revalidate::Await`].
        pub fn revalidate(mut self, revalidate: Revalidate) -> Self {
            self.options.revalidate = revalidate;
            self
        }
    };
    (@ stale_if_error) => {
        /// With [`Revalidate::Await`]: if the rebuild fails, returns the stale value instead of its error. The hook
        /// gets that as [`Event::BackgroundError`](crate::Event::BackgroundError). Default: false.
        pub fn stale_if_error(mut self, stale_if_error: bool) -> Self {
            self.options.stale_if_error = stale_if_error;
            self
        }
    };
    (@ on_unavailable) => {
        /// What to do if the service cannot be reached. Default: the client's.
        pub fn on_unavailable(mut self, on_unavailable: OnUnavailable) -> Self {
            self.options.on_unavailable = on_unavailable;
            self
        }
    };
    (@ traceparent) => {
        /// The W3C traceparent to pass on. Default: with the feature `opentelemetry`, that of the current span; else
        /// none.
        pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
            self.options.traceparent = traceparent.into();
            self
        }
    };
}

pub(crate) use setters;
