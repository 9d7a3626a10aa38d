//! Where the service is.
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    net::lookup_host,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::error::Error;

const FORMS: &str = "HOST:PORT, a list of them, dns:///HOST:PORT, unix:///path";

/// How long a name of a list may be looked up after another one was found.
const OTHERS_MAX: Duration = Duration::from_millis(500);

/// Where the service is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Address {
    /// `HOST:PORT`, one or several. All addresses of each name are used.
    Tcp(Vec<String>),
    Unix(PathBuf),
}

/// One address, and the `HOST:PORT` that the user wrote for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub name: String,
    pub address: SocketAddr,
}

impl Address {
    /// `HOST:PORT`, a list of them with commas between, `dns:///HOST:PORT` or `unix:///path`.
    pub fn parse(target: &str) -> Result<Self, Error> {
        if let Some(path) = target.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(not_a_target(target)) } else { Ok(Self::Unix(path.into())) };
        }
        if target.contains('@') {
            // A password, perhaps, so the target is not repeated.
            return Err(Error::Options(format!("target: has a user or a password, or another @; set {FORMS}")));
        }
        let named = target.strip_prefix("dns:").map_or(target, |rest| rest.trim_start_matches('/'));
        let mut names: Vec<String> = Vec::new();
        for name in named.split(',') {
            match name.rsplit_once(':') {
                Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0) => {
                    if !names.iter().any(|known| known == name) {
                        names.push(name.to_owned());
                    }
                }
                _ => return Err(not_a_target(target)),
            }
        }
        Ok(Self::Tcp(names))
    }

    /// Traffic to it stays on this machine.
    pub fn is_this_machine(&self) -> bool {
        let Self::Tcp(names) = self else { return true };
        names.iter().all(|name| ip_of(name).map_or(is_localhost(name), |ip| ip.is_loopback()))
    }

    /// It may stand for several addresses.
    pub fn may_be_several(&self) -> bool {
        match self {
            Self::Tcp(names) => {
                names.len() > 1 || names.iter().any(|name| ip_of(name).is_none() && !is_localhost(name))
            }
            Self::Unix(_) => false,
        }
    }

    /// It has names, whose addresses may change later.
    pub fn has_names(&self) -> bool {
        matches!(self, Self::Tcp(names) if names.iter().any(|name| ip_of(name).is_none()))
    }

    /// What certificates must be of.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Self::Tcp(names) => names.iter().map(|name| host_of(name)).collect(),
            Self::Unix(_) => vec!["localhost"],
        }
    }

    pub fn authority(&self) -> &str {
        match self {
            Self::Tcp(names) => &names[0],
            Self::Unix(_) => "localhost",
        }
    }

    /// All current addresses of all names. If there are none, an error of one of them. Once one name is known, the
    /// others have [`OTHERS_MAX`]: an address that stands does not wait for a name that does not resolve.
    pub async fn resolve(&self) -> io::Result<Vec<Place>> {
        self.resolve_by(|name| async { lookup_host(name).await.map(Iterator::collect) }).await
    }

    async fn resolve_by<L, F>(&self, look_up: L) -> io::Result<Vec<Place>>
    where
        L: Fn(String) -> F,
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let Self::Tcp(names) = self else { return Ok(Vec::new()) };
        let mut looking = JoinSet::new();
        for (at, name) in names.iter().enumerate() {
            let found = look_up(name.clone());
            looking.spawn(async move { (at, found.await) });
        }
        let mut known: Vec<Vec<SocketAddr>> = vec![Vec::new(); names.len()];
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut until = None;
        while let Some(joined) = match until {
            None => looking.join_next().await,
            Some(until) => timeout_at(until, looking.join_next()).await.unwrap_or_default(),
        } {
            match joined.map_err(io::Error::other)? {
                (at, Ok(found)) => {
                    if !found.is_empty() {
                        until.get_or_insert_with(|| Instant::now() + OTHERS_MAX);
                    }
                    known[at] = found;
                }
                (_, Err(unknown)) => error = unknown,
            }
        }
        let mut places: Vec<Place> = Vec::new();
        for (name, found) in names.iter().zip(known) {
            for address in found {
                if !places.iter().any(|known| known.address == address) {
                    places.push(Place { name: name.clone(), address });
                }
            }
        }
        if places.is_empty() { Err(error) } else { Ok(places) }
    }
}

pub(crate) fn host_of(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(host, _)| host)
}

fn ip_of(name: &str) -> Option<IpAddr> {
    host_of(name).trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_localhost(name: &str) -> bool {
    host_of(name).eq_ignore_ascii_case("localhost")
}

fn not_a_target(target: &str) -> Error {
    Error::Options(format!("target {target}: is not one of {FORMS}"))
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        for (target, names) in [
            ("a:1", vec!["a:1"]),
            ("a:1,b:2,a:1", vec!["a:1", "b:2"]),
            ("dns:///a:1", vec!["a:1"]),
            ("127.0.0.1:1,[::1]:2", vec!["127.0.0.1:1", "[::1]:2"]),
        ] {
            let names = names.into_iter().map(str::to_owned).collect();
            assert_eq!(Address::parse(target).unwrap(), Address::Tcp(names), "{target}");
        }
        for target in ["a:1,", ",a:1", "a:1,,b:2", "a:1,b", "a:1,b:0", "a:1,b:65536", "a:1, b:2"] {
            let message = Address::parse(target).unwrap_err().to_string();
            assert!(
                message.contains(&format!("target {target}: is not one of HOST:PORT, a list of them")),
                "{message}"
            );
        }
    }

    #[test]
    fn a_list_is_of_this_machine_where_all_of_it_is() {
        let is = |target: &str| Address::parse(target).unwrap().is_this_machine();
        assert!(is("127.0.0.1:1,localhost:2,[::1]:3"));
        assert!(!is("127.0.0.1:1,192.0.2.1:2"));
    }

    #[test]
    fn one_address_is_one_and_a_name_or_a_list_may_be_several() {
        let may = |target: &str| Address::parse(target).unwrap().may_be_several();
        assert!(["a:1", "dns:///a:1", "127.0.0.1:1,127.0.0.1:2"].iter().all(|target| may(target)));
        assert!(!["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:///a,b"].iter().any(|target| may(target)));
    }

    #[tokio::test]
    async fn addresses_keep_the_names_that_they_were_found_by() {
        let places = Address::parse("127.0.0.1:1,127.0.0.2:2").unwrap().resolve().await.unwrap();
        let expected =
            ["127.0.0.1:1", "127.0.0.2:2"].map(|name| Place { name: name.to_owned(), address: name.parse().unwrap() });
        assert_eq!(places, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_does_not_resolve_holds_up_no_other() {
        let list = Address::parse("slow:1,127.0.0.1:2,unknown:3").unwrap();
        let look_up = |slow: Duration| {
            list.resolve_by(move |name| async move {
                match name.as_str() {
                    "slow:1" => tokio::time::sleep(slow).await,
                    "unknown:3" => return Err(io::Error::other("unknown")),
                    _ => {}
                }
                Ok(vec![if name == "slow:1" { "127.0.0.9:1" } else { "127.0.0.1:2" }.parse().unwrap()])
            })
        };
        let names = |places: Vec<Place>| places.into_iter().map(|place| place.name).collect::<Vec<_>>();
        assert_eq!(names(look_up(Duration::from_millis(100)).await.unwrap()), ["slow:1", "127.0.0.1:2"]);
        let start = Instant::now();
        assert_eq!(names(look_up(Duration::from_secs(60)).await.unwrap()), ["127.0.0.1:2"]);
        assert_eq!(start.elapsed(), OTHERS_MAX);
    }

    #[tokio::test]
    async fn a_list_of_unknown_names_has_the_error_of_one() {
        let list = Address::parse("a:1,b:2").unwrap();
        let error = list.resolve_by(|_| async { Err(io::Error::other("unknown")) }).await.unwrap_err();
        assert_eq!(error.to_string(), "unknown");
    }
}
