//! TLS with files that may be replaced while the client runs.
use std::{
    fs, io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use crate::{error::Error, misplaced, options::ConnectionOptions};

/// The protocol that both sides must agree on.
const HTTP_2: &[u8] = b"h2";

/// Performs handshakes with the current files, so that a replaced certificate needs no new client.
pub(crate) struct Tls {
    files: Files,
    latest: Mutex<Latest>,
}

struct Files {
    ca: String,
    /// None if the client shows no certificate.
    own: Option<Own>,
}

struct Own {
    cert: String,
    key: String,
}

#[derive(Eq, PartialEq)]
struct Contents {
    ca: Vec<u8>,
    own: Option<(Vec<u8>, Vec<u8>)>,
}

struct Latest {
    contents: Contents,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// None without TLS.
    ///
    /// # Errors
    /// [`Error::Options`] where the files cannot be used, or one of them is missing.
    pub fn of(options: &ConnectionOptions, hosts: &[&str]) -> Result<Option<Self>, Error> {
        let ConnectionOptions { target, tls_ca, tls_cert, tls_key, .. } = options;
        let own = match (tls_cert.as_str(), tls_key.as_str()) {
            ("", "") => None,
            ("", _) => return Err(fault("tls_key: needs tls_cert (DIBS_TLS_CERT), too")),
            (_, "") => return Err(fault("tls_cert: needs tls_key (DIBS_TLS_KEY), too")),
            _ if tls_ca.is_empty() => return Err(fault("tls_cert: needs tls_ca (DIBS_TLS_CA), too")),
            (cert, key) => Some(Own { cert: cert.to_owned(), key: key.to_owned() }),
        };
        if tls_ca.is_empty() {
            return Ok(None);
        }
        for host in hosts {
            name_of(host).map_err(|error| Error::Options(format!("target {target}: {error}")))?;
        }
        let files = Files { ca: tls_ca.clone(), own };
        let contents = files.read()?;
        let config = Arc::new(files.config_of(&contents)?);
        Ok(Some(Self { files, latest: Mutex::new(Latest { contents, config }) }))
    }

    /// `host`: the name that the certificate must be valid for.
    pub async fn over<I>(&self, host: &str, io: I) -> io::Result<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let name = name_of(host).map_err(io::Error::other)?;
        let stream = TlsConnector::from(self.now()).connect(name, io).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(HTTP_2) => Ok(stream),
            _ => Err(io::Error::other("it does not speak HTTP/2 over TLS")),
        }
    }

    /// During a replacement, one file may not match the other. The old ones are still worth a try.
    fn now(&self) -> Arc<ClientConfig> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(contents) = self.files.read()
            && contents != latest.contents
            && let Ok(config) = self.files.config_of(&contents)
        {
            *latest = Latest { contents, config: Arc::new(config) };
        }
        latest.config.clone()
    }
}

fn name_of(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}

impl Files {
    fn read(&self) -> Result<Contents, Error> {
        let own = match &self.own {
            None => None,
            Some(Own { cert, key }) => {
                Some((read("tls_cert", "DIBS_TLS_CERT", cert)?, read("tls_key", "DIBS_TLS_KEY", key)?))
            }
        };
        Ok(Contents { ca: read("tls_ca", "DIBS_TLS_CA", &self.ca)?, own })
    }

    fn config_of(&self, contents: &Contents) -> Result<ClientConfig, Error> {
        let mut trusted = RootCertStore::empty();
        for authority in certificates("tls_ca", &self.ca, &contents.ca)? {
            trusted.add(authority).map_err(|error| unfit("tls_ca", &self.ca, error))?;
        }
        // The provider that the process has chosen for all its connections, if any.
        let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unfit("tls_ca", &self.ca, error))?
            .with_root_certificates(trusted);
        let mut config = match (&self.own, &contents.own) {
            (Some(paths), Some((cert, key))) => {
                let chain = certificates("tls_cert", &paths.cert, cert)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
                    // The parser's error may repeat a part of the key.
                    unfit("tls_key", &paths.key, "it has no private key in PEM")
                })?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let both = format!("{} with tls_key {}", paths.cert, paths.key);
                    unfit("tls_cert", &both, error)
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols.push(HTTP_2.to_vec());
        Ok(config)
    }
}

fn certificates(option: &str, path: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    // The parser's error may repeat a line, which is a key if the file has that instead.
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    if found.is_empty() { Err(unfit(option, path, "it has no certificate in PEM that can be read")) } else { Ok(found) }
}

fn read(option: &str, variable: &str, path: &str) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| misplaced::pem(option, variable, path).unwrap_or_else(|| unfit(option, path, error)))
}

fn unfit(option: &str, path: &str, why: impl std::fmt::Display) -> Error {
    fault(&format!("{option} {path}: {why}"))
}

fn fault(what: &str) -> Error {
    Error::Options(what.to_owned())
}
