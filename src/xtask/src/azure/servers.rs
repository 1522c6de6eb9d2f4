//! The emulator, its blob storage and Go's fake server as child processes, and what a suite must know to talk to them.
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::azurite::{self, Azurite};
use crate::image::binary;
use crate::tools::Tools;
use crate::{cache, python, shell};

/// The service principal that the suites are, known to an emulator that lasts a minute.
const CLIENT: (&str, &str) = ("c11e0000-0000-4000-8000-000000000002", "suite-secret");

/// Where a model lies that needs no upload.
const CONTAINER: &str = "suite";
const MODEL: &str = "nuclei/model.onnx";

/// The servers; killed when dropped.
pub struct Servers {
    _emulator: Server,
    _fake: Server,
    azurite: Azurite,
    endpoint: String,
    tenant: String,
    fake: String,
    authority: PathBuf,
}

struct Server(Child);

impl Servers {
    /// Starts them on ports that the system chooses. Deployments and jobs really run, with their blobs in an Azurite.
    pub fn start(tools: &Tools, work: &Path) -> anyhow::Result<Self> {
        let programs = binary::build(&["arm-emulator", "mlops-model-server"], false)?;
        let [emulator, model_server] = programs.as_slice() else { bail!("cargo built {programs:?}") };
        let azurite = azurite::start(&azurite::Options::new(work.join("blobs")))?;
        azurite.create_container(azurite::ACCOUNT, CONTAINER)?;
        let model = cache::repository().join("config/models/breast-cancer/model-v1.onnx");
        azurite.put_blob(azurite::ACCOUNT, CONTAINER, MODEL, &std::fs::read(model)?)?;
        let authority = work.join("ca.pem");
        let mut command = Command::new(emulator);
        command.arg("--blob-endpoint").arg(azurite.endpoint(azurite::ACCOUNT));
        command.args(["--blob-account", azurite::ACCOUNT]).env("BLOB_KEY", azurite.key(azurite::ACCOUNT)?);
        command.arg("--model-server").arg(model_server);
        command.arg("--onnxruntime").arg(python::onnxruntime_library()?);
        // Some suites run at the same time, and none of them tries again.
        command.args(["--operation-duration", "200ms", "--retry-after", "0", "--no-throttling"]);
        command.arg("--client").arg(format!("{}={}", CLIENT.0, CLIENT.1));
        command.arg("--ca-out").arg(&authority);
        let (emulator, ready) = Server::start(command)?;
        let ready: Value = serde_json::from_str(&ready).context("the emulator's first line is no JSON")?;
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        let (fake, address) = Server::start(Command::new(tools.azure_fake()))?;
        Ok(Self {
            _emulator: emulator,
            _fake: fake,
            azurite,
            endpoint: text("url"),
            tenant: text("tenant"),
            fake: address,
            authority,
        })
    }

    /// What the suites read.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ARM_ENDPOINT", self.endpoint.clone()),
            ("ARM_TENANT", self.tenant.clone()),
            ("ARM_CLIENT_ID", CLIENT.0.to_owned()),
            ("ARM_CLIENT_SECRET", CLIENT.1.to_owned()),
            ("FAKE_ENDPOINT", self.fake.clone()),
            ("BLOB_ENDPOINT", self.azurite.endpoint("").trim_end_matches('/').to_owned()),
            ("MODEL_URI", format!("{}/{CONTAINER}/{MODEL}", self.azurite.endpoint(azurite::ACCOUNT))),
            ("REQUESTS_CA_BUNDLE", self.authority.display().to_string()),
            // All are on this host, whatever proxy the environment names.
            ("NO_PROXY", "127.0.0.1,localhost".to_owned()),
        ]
    }
}

impl Server {
    /// Starts a program that prints one line when it is ready, and returns that line.
    fn start(mut command: Command) -> anyhow::Result<(Self, String)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().with_context(|| format!("failed to start {}", shell::line(&command)))?;
        let mut server = Self(child);
        let output = server.0.stdout.take().context("the program has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.trim().is_empty() {
            bail!("{} ended before it was ready: {}", shell::line(&command), server.0.wait()?);
        }
        Ok((server, line.trim().to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
