//! The options of calls, each told once: `setters!(wait stale)` in the `impl` of what has `options`.

macro_rules! setters {
    ($($name:ident)*) => { $($crate::setters::setters!(@ $name);)* };
    (@ namespace) => {
        /// Default: the client's.
        pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
            self.options.namespace = namespace.into();
            self
        }
    };
    (@ stale_ttl) => {
        /// How long after the ttl it may be served stale. Default: as the namespace's policy says.
        pub fn stale_ttl(mut self, stale_ttl: Duration) -> Self {
            self.options.stale_ttl = Some(stale_ttl);
            self
        }
    };
    (@ absent_ttl) => {
        /// In place of the ttl for the knowledge that there is nothing. Default: the ttl.
        pub fn absent_ttl(mut self, absent_ttl: Duration) -> Self {
            self.options.absent_ttl = Some(absent_ttl);
            self
        }
    };
    (@ tags) => {
        /// Names to invalidate the value by: at most 16, each of 1 to 256 bytes.
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
        /// Whether a stale value is a good answer. Default: as the namespace's policy says.
        pub fn stale(mut self, stale: Stale) -> Self {
            self.options.stale = Some(stale);
            self
        }
    };
    (@ read) => {
        /// How far copies may be trusted. Default: [`Read::Near`].
        pub fn read(mut self, read: Read) -> Self {
            self.options.read = read;
            self
        }
    };
    (@ refresh) => {
        /// Rebuild now, although the value may be fresh. Default: false.
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
        /// With [`Revalidate::Await`]: when the rebuild fails, the stale value is returned in place of its error, of
        /// which the hook hears as [`Event::BackgroundError`](crate::Event::BackgroundError). Default: false.
        pub fn stale_if_error(mut self, stale_if_error: bool) -> Self {
            self.options.stale_if_error = stale_if_error;
            self
        }
    };
    (@ on_unavailable) => {
        /// Default: the client's.
        pub fn on_unavailable(mut self, on_unavailable: OnUnavailable) -> Self {
            self.options.on_unavailable = on_unavailable;
            self
        }
    };
    (@ traceparent) => {
        /// The W3C traceparent to pass on. Default: with the feature `opentelemetry` that of the current span, else
        /// none.
        pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
            self.options.traceparent = traceparent.into();
            self
        }
    };
}

pub(crate) use setters;
