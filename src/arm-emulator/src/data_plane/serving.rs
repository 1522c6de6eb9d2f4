//! One model server: started on a free port, waited for until it is ready, and ended with all that it started.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::local::{Shared, helper};
use super::process::{self, Tail};

/// How long it may take until the first answer.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks at whether it is ready.
const PAUSE: Duration = Duration::from_millis(20);
/// Variables that would change what the server itself does.
const OWN: [&str; 6] = ["MLOPS_", "ORT_", "MODEL_", "LD_", "AZURE_", "IDENTITY_"];

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) model: PathBuf,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) log: Arc<Tail>,
}

/// A running server; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    ended: watch::Receiver<bool>,
}

impl Server {
    pub(crate) fn is_alive(&self) -> bool {
        !*self.ended.borrow()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts a server and waits until it is ready; what went wrong, in the server's own words.
pub(crate) async fn start(shared: &Arc<Shared>, launch: &Launch) -> Result<Server, String> {
    let program = shared.options.model_server.as_ref().ok_or("the emulator knows no model server")?;
    let folder = tempfile::tempdir().map_err(|error| format!("failed to make a folder: {error}"))?;
    let last_word = folder.path().join("termination-log");
    std::fs::write(&last_word, "").map_err(|error| format!("failed to write: {error}"))?;
    let mut command = match helper("setpriv") {
        // The server ends with the emulator, however that ends.
        Some(helper) => {
            let mut command = Command::new(helper);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.arg("--model-uri").arg(&launch.model);
    command.args(["--model-name", &launch.name, "--model-version", &launch.version]);
    command.args(["--http", "127.0.0.1:0", "--drain-seconds", "0", "--threads", "1", "--log-format", "json"]);
    command.arg("--termination-message").arg(&last_word).arg("--cache-dir").arg(folder.path());
    command.env_clear();
    let kept = ["PATH", "HOME", "ORT_DYLIB_PATH", "LD_LIBRARY_PATH", "TMPDIR"];
    command.envs(kept.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    let foreign = |(name, _): &&(String, String)| !OWN.iter().any(|prefix| name.starts_with(prefix));
    command.envs(launch.variables.iter().filter(foreign).cloned());
    if let Some(library) = &shared.options.onnxruntime {
        command.env("ORT_DYLIB_PATH", library);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.kill_on_drop(true).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("failed to start the model server: {error}"))?;
    let (found, listening) = watch::channel(None);
    if let Some(output) = child.stderr.take() {
        let log = Arc::clone(&launch.log);
        shared.spawn(async move {
            process::lines(BufReader::new(output), |line| {
                if found.borrow().is_none()
                    && let Some(address) = address(line)
                {
                    found.send_replace(Some(address));
                }
                log.push(line);
            })
            .await;
        });
    }
    let (over, ended) = watch::channel(false);
    let stop = CancellationToken::new();
    supervise(shared, child, (stop.clone(), over), folder);
    let mut server = Server { address: SocketAddr::from(([127, 0, 0, 1], 0)), stop, ended };
    match tokio::time::timeout(PATIENCE, ready(shared, &mut server, listening, &last_word)).await {
        Ok(Ok(())) => Ok(server),
        Ok(Err(message)) => Err(message),
        Err(_) => Err(format!("the model server was not ready after {} seconds", PATIENCE.as_secs())),
    }
}

/// The address in the line that says where the server listens.
fn address(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["address"].as_str()?.parse().ok()
}

/// Owns the process: ends it when asked, or with the emulator, and says when it has ended.
fn supervise(
    shared: &Arc<Shared>,
    mut child: Child,
    (stop, over): (CancellationToken, watch::Sender<bool>),
    folder: tempfile::TempDir,
) {
    let stopped = shared.stopped.clone();
    shared.tasks.spawn(async move {
        tokio::select! {
            _ = child.wait() => {}
            () = stop.cancelled() => process::end(&mut child).await,
            () = stopped.cancelled() => process::end(&mut child).await,
        }
        over.send_replace(true);
        // Whoever waits for the server reads its last word first.
        tokio::select! {
            () = over.closed() => {}
            () = stopped.cancelled() => {}
        }
        drop(folder);
    });
}

async fn ready(
    shared: &Arc<Shared>,
    server: &mut Server,
    mut listening: watch::Receiver<Option<SocketAddr>>,
    last_word: &std::path::Path,
) -> Result<(), String> {
    let mut ended = server.ended.clone();
    let failed = || {
        let word = std::fs::read_to_string(last_word).unwrap_or_default();
        let word: serde_json::Value = serde_json::from_str(&word).unwrap_or_default();
        let message = word["message"].as_str().unwrap_or("the model server ended before it was ready");
        message.to_owned()
    };
    // Nothing is found where its output has ended, and so will it.
    let found = listening.wait_for(Option::is_some).await.ok().and_then(|found| *found);
    let Some(found) = found else {
        let _ = ended.wait_for(|over| *over).await;
        return Err(failed());
    };
    server.address = found;
    let url = format!("http://{}/v2/health/ready", server.address);
    loop {
        if !server.is_alive() {
            return Err(failed());
        }
        let asked = shared.http.get(&url).timeout(Duration::from_secs(5)).send().await;
        if asked.is_ok_and(|answer| answer.status().as_u16() == 200) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
