//! Certificates: an authority of the emulator's own, or the files that were given.
use std::sync::Arc;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The authority's key and certificate, in PEM; kept with the state so that clients need not learn a new one.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Authority {
    key: String,
    pub(crate) certificate: String,
}

fn params() -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, "arm-emulator authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

impl Authority {
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = params()?.self_signed(&key)?.pem();
        Ok(Self { key: key.serialize_pem(), certificate })
    }

    /// A server's configuration for these names, with a certificate that lives as long as the process.
    pub(crate) fn server(&self, names: &[String]) -> anyhow::Result<Arc<ServerConfig>> {
        let authority = Issuer::new(
            params()?,
            KeyPair::from_pem(&self.key).context("failed to read the authority's key")?,
        );
        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(names.to_vec())?;
        leaf.distinguished_name.push(DnType::CommonName, "arm-emulator");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&key, &authority)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        configured(vec![certificate], key)
    }
}

/// A server's configuration from the texts of two PEM files.
pub(crate) fn given(certificate: &[u8], key: &[u8]) -> anyhow::Result<Arc<ServerConfig>> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| anyhow::anyhow!("failed to read the certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| anyhow::anyhow!("failed to read the key: {error}"))?;
    configured(chain, key)
}

fn configured(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
