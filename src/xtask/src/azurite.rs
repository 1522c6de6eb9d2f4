//! Azurite, the blob storage of Azure as a local process: installed into the cache from a lock file, started on a free
//! port of the loopback address, filled, and ended when the value is dropped.
#[cfg(test)]
mod tests;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::{cache, progress, shell, tools};

const HINT: &str = "install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm)";

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The account that an Azurite has unless other accounts are asked for.
pub const ACCOUNT: &str = "mlopsstore";

/// How to start an Azurite.
#[derive(Clone, Debug)]
pub struct Options {
    /// Each account's name and its key in base64.
    pub accounts: Vec<(String, String)>,
    /// The folder that holds what is stored, and keeps it for the next start.
    pub folder: PathBuf,
    /// The files of a certificate and its key; with them it answers over https alone.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether to accept bearer tokens too, which needs `tls`. Their claims are checked, their signature is not.
    pub oauth: bool,
}

impl Options {
    /// One account over http, with everything stored in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let accounts = vec![(ACCOUNT.to_owned(), key_of(ACCOUNT))];
        Self { accounts, folder: folder.into(), tls: None, oauth: false }
    }
}

/// A running Azurite; ended when dropped.
#[derive(Debug)]
pub struct Azurite {
    child: Child,
    root: String,
    accounts: Vec<(String, String)>,
}

/// A key made of an account's name, for accounts that protect nothing.
pub fn key_of(account: &str) -> String {
    BASE64_STANDARD.encode(format!("no secret, the test key of {account}"))
}

/// The program of Azurite's blob service, installed once for each content of the lock file.
pub fn ensure() -> anyhow::Result<PathBuf> {
    let source = cache::repository().join("src/xtask/tools/azurite");
    let files = ["package.json", "package-lock.json"].map(|name| source.join(name));
    let version = shell::output(Command::new(node()?).arg("--version")).context(HINT)?;
    let key = cache::key(&[&files[0], &files[1]], &[version.trim()])?;
    let tools = cache::root()?.join("tools");
    let folder = tools.join(format!("azurite-{key}"));
    let program = folder.join("node_modules/azurite/dist/src/blob/main.js");
    if program.is_file() {
        return Ok(program);
    }
    std::fs::create_dir_all(&tools)?;
    let _lock = cache::lock(&tools.join("azurite.lock"))?;
    if program.is_file() {
        return Ok(program);
    }
    progress::step("install Azurite (about 1 minute the first time)", || {
        let part = folder.with_extension("part");
        if part.exists() {
            std::fs::remove_dir_all(&part)?;
        }
        std::fs::create_dir_all(&part)?;
        for file in &files {
            std::fs::copy(file, part.join(file.file_name().unwrap_or_default()))?;
        }
        // Scripts of packages are not needed, and would run whatever a package says.
        let mut install = Command::new("npm");
        install.current_dir(&part).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]);
        shell::output(&mut install).context(HINT)?;
        std::fs::rename(&part, &folder).context("failed to move Azurite into the cache")
    })?;
    ensure!(program.is_file(), "the package of Azurite has no {}", program.display());
    Ok(program)
}

fn node() -> anyhow::Result<PathBuf> {
    tools::packages::on_path("node").context(HINT)
}

/// Starts an Azurite and returns when it answers.
pub fn start(options: &Options) -> anyhow::Result<Azurite> {
    let program = ensure()?;
    let mut command = Command::new(node()?);
    command.arg(program).arg("--location").arg(&options.folder);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--silent", "--disableTelemetry"]);
    command.arg("--skipApiVersionCheck");
    if let Some((certificate, key)) = &options.tls {
        command.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    if options.oauth {
        command.args(["--oauth", "basic"]);
    }
    let accounts: Vec<String> = options.accounts.iter().map(|(name, key)| format!("{name}:{key}")).collect();
    command.env("AZURITE_ACCOUNTS", accounts.join(";")).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("failed to start {}", shell::line(&command)))?;
    let mut output = BufReader::new(child.stdout.take().context("Azurite has no output")?);
    let root = loop {
        let mut line = String::new();
        if output.read_line(&mut line)? == 0 {
            let mut error = String::new();
            let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut error));
            let _ = child.wait();
            bail!("Azurite ended before it listened: {}", error.trim());
        }
        if let Some((_, root)) = line.split_once("successfully listens on ") {
            break root.trim().to_owned();
        }
    };
    // A full pipe would stop it.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    if let Some(mut pipe) = child.stderr.take() {
        std::thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
    }
    Ok(Azurite { child, root, accounts: options.accounts.clone() })
}

impl Azurite {
    /// Where an account's blobs are, like `http://127.0.0.1:PORT/ACCOUNT`.
    pub fn endpoint(&self, account: &str) -> String {
        format!("{}/{account}", self.root)
    }

    /// The key of an account, in base64.
    pub fn key(&self, account: &str) -> anyhow::Result<&str> {
        let known = self.accounts.iter().find(|(name, _)| name == account);
        known.map(|(_, key)| key.as_str()).with_context(|| format!("Azurite has no account {account}"))
    }

    /// A shared access signature for an account: permissions such as `rwlc`, on containers and blobs.
    pub fn signature(&self, account: &str, permissions: &str) -> anyhow::Result<String> {
        let (version, expiry) = ("2021-12-02", "2099-01-01T00:00:00Z");
        // The order and the empty lines are those of an account SAS; the last is the encryption scope.
        let text = format!("{account}\n{permissions}\nb\nsco\n\n{expiry}\n\nhttps,http\n{version}\n\n");
        let key = BASE64_STANDARD.decode(self.key(account)?)?;
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        let signature = BASE64_STANDARD.encode(ring::hmac::sign(&key, text.as_bytes()));
        let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        Ok(format!(
            "sv={version}&ss=b&srt=sco&sp={permissions}&se={}&spr=https%2Chttp&sig={signature}",
            expiry.replace(':', "%3A")
        ))
    }

    /// Makes a container; over http only.
    pub fn create_container(&self, account: &str, container: &str) -> anyhow::Result<()> {
        let address = format!("{}/{container}?restype=container", self.endpoint(account));
        self.put(account, &address, &[], &[])
    }

    /// Stores a blob in a container; over http only.
    pub fn put_blob(&self, account: &str, container: &str, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let address = format!("{}/{container}/{name}?", self.endpoint(account));
        self.put(account, &address, &[("x-ms-blob-type", "BlockBlob")], bytes)
    }

    fn put(
        &self,
        account: &str,
        address: &str,
        headers: &[(&str, &str)],
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        let separator = if address.ends_with('?') { "" } else { "&" };
        let mut request = ureq::put(format!("{address}{separator}{}", self.signature(account, "racwdlu")?));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // Azurite is on this host, whatever proxy the environment names.
        let request = request.config().proxy(None).build();
        request.send(bytes).with_context(|| format!("failed to put {address}")).map(drop)
    }
}

impl Drop for Azurite {
    /// Asked to end, it writes what it keeps in memory; killed, it would lose the last seconds.
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let asked = id.map(|id| rustix::process::kill_process(id, rustix::process::Signal::TERM));
        let deadline = Instant::now() + PATIENCE;
        while asked == Some(Ok(())) && Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
