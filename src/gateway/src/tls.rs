//! The certificate of the gateway, taken anew when its files change; a pair that does not fit leaves the former in use.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::state::State;

/// How often the files' times are looked at.
pub const LOOK: Duration = Duration::from_secs(2);

/// The certificate's and the key's files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain, in PEM.
    pub certificate: PathBuf,
    /// The key, in PEM.
    pub key: PathBuf,
}

/// The pair in use.
#[derive(Debug)]
pub struct Certificate {
    files: Files,
    current: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Certificate {
    /// Reads the pair.
    pub fn read(files: Files) -> Result<Arc<Self>, String> {
        let current = ArcSwap::from_pointee(pair(&files)?);
        Ok(Arc::new(Self { files, current }))
    }

    /// What connections are accepted with: HTTP/2 before HTTP/1.1.
    pub fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Takes the pair anew whenever a file's time changes.
    pub async fn watch(self: Arc<Self>, state: Arc<State>, every: Duration) {
        let mut seen = times(&self.files);
        loop {
            tokio::time::sleep(every).await;
            let now = times(&self.files);
            if now == seen {
                continue;
            }
            match pair(&self.files) {
                Ok(pair) => {
                    seen = now;
                    self.current.store(Arc::new(pair));
                    tracing::info!("the certificate was reloaded");
                }
                Err(error) => {
                    // The two files may be written one after the other: they are read again at the next look.
                    tracing::warn!(error, "the certificate can't be reloaded; the former stays in use");
                    state.metrics.config_error("certificate");
                }
            }
        }
    }
}

fn times(files: &Files) -> [Option<SystemTime>; 2] {
    let time = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    [time(&files.certificate), time(&files.key)]
}

fn pair(files: &Files) -> Result<CertifiedKey, String> {
    let shown = files.certificate.display();
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("failed to read the certificate {shown}: {error}"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("failed to read the key {}: {error}", files.key.display()))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
        .map_err(|error| format!("the certificate {shown} and its key can't be used: {error}"))
}
