//! The certificates of one cluster: an authority, and what it signs.
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// A certificate authority in a folder.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// Where a certificate and its key are.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes a new authority and writes its certificate and key.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let parameters = Self::parameters();
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        let authority = Self { folder: folder.to_owned(), issuer: Issuer::new(parameters, key) };
        std::fs::write(authority.certificate(), certificate.pem())?;
        write_secret(&authority.key(), &authority.issuer.key().serialize_pem())?;
        Ok(authority)
    }

    /// The authority that was made in this folder before.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("ca.key");
        let key =
            std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let issuer = Issuer::new(Self::parameters(), KeyPair::from_pem(&key)?);
        Ok(Self { folder: folder.to_owned(), issuer })
    }

    fn parameters() -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "mlops-operator cluster");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        parameters
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// The authority's own key.
    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// A certificate to call others with: the user is the common name, the groups are the organizations.
    pub(super) fn client(&self, user: &str, groups: &[&str]) -> anyhow::Result<Pair> {
        self.sign(user, user, groups, &[])
    }

    /// A certificate to be called under these names and addresses; it can call others too.
    pub(crate) fn server(
        &self,
        name: &str,
        user: &str,
        groups: &[&str],
        hosts: &[&str],
    ) -> anyhow::Result<Pair> {
        self.sign(name, user, groups, hosts)
    }

    fn sign(&self, name: &str, user: &str, groups: &[&str], hosts: &[&str]) -> anyhow::Result<Pair> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts.clone())?;
        parameters.distinguished_name = DistinguishedName::new();
        // The library keeps one value per kind of name, and knows two ways to write the organization's kind.
        let mut kinds = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])].into_iter();
        for group in groups {
            let kind =
                kinds.next().with_context(|| format!("failed to put {user} into more than two groups"))?;
            parameters.distinguished_name.push(kind, *group);
        }
        parameters.distinguished_name.push(DnType::CommonName, user);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !hosts.is_empty() {
            parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let key = KeyPair::generate()?;
        let certificate =
            parameters.signed_by(&key, &self.issuer).with_context(|| format!("failed to sign for {user}"))?;
        let file = file_name(name);
        let pair = Pair {
            certificate: self.folder.join(format!("{file}.crt")),
            key: self.folder.join(format!("{file}.key")),
        };
        std::fs::write(&pair.certificate, certificate.pem())?;
        write_secret(&pair.key, &key.serialize_pem())?;
        Ok(pair)
    }

    /// The pair that signs and checks service-account tokens.
    pub(super) fn service_accounts(&self) -> anyhow::Result<Pair> {
        let key = KeyPair::generate()?;
        let pair = Pair {
            certificate: self.folder.join("service-accounts.pub"),
            key: self.folder.join("service-accounts.key"),
        };
        std::fs::write(&pair.certificate, key.public_key_pem())?;
        write_secret(&pair.key, &key.serialize_pem())?;
        Ok(pair)
    }
}

/// Writes a kubeconfig that calls `server` with this pair; it names files, so it must stay on this machine.
pub(super) fn write_kubeconfig(
    path: &Path,
    server: &str,
    authority: &Path,
    pair: &Pair,
) -> anyhow::Result<()> {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "mlops-operator",
        "contexts": [{"name": "mlops-operator", "context": {"cluster": "mlops-operator", "user": "user"}}],
        "clusters": [{
            "name": "mlops-operator",
            "cluster": {"server": server, "certificate-authority": authority},
        }],
        "users": [{
            "name": "user",
            "user": {"client-certificate": pair.certificate, "client-key": pair.key},
        }],
    });
    // JSON is YAML; every client reads it.
    write_secret(path, &serde_json::to_string_pretty(&config)?)
}

/// Writes a file that only its owner can read.
pub(super) fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("failed to write {}", path.display()))
}

/// A user's name as the name of a file: `system:node:a` has colons, and others may have slashes.
pub(super) fn file_name(user: &str) -> String {
    user.chars()
        .map(
            |character| {
                if character.is_ascii_alphanumeric() || "-.".contains(character) { character } else { '_' }
            },
        )
        .collect()
}
