//! The proxies side by side: the same split and the same check of a key, each a single process on one processor.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Failure;
use crate::load::Target;

/// The processor of the proxies; the callers and the model servers have another.
const PROCESSOR: &str = "0";
/// The key that callers send.
const KEY: &str = "secret";

/// A proxy that runs.
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    /// The port of probes and metrics, of ours.
    pub(crate) admin: Option<SocketAddr>,
    child: Child,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// Starts a program and waits until it answers.
    async fn start(
        name: &'static str,
        target: Target,
        admin: Option<SocketAddr>,
        command: &mut Command,
    ) -> Result<Self, Failure> {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("failed to start {name}: {error}"))?;
        let mut proxy = Self { name, target, admin, child };
        let begun = Instant::now();
        loop {
            let answered = async { proxy.target.connect().await?.call().await.map(|_| ()) }.await;
            let Err(error) = answered else { return Ok(proxy) };
            if let Some(status) = proxy.child.try_wait()? {
                return Err(format!("{name} ended with {status}").into());
            }
            if begun.elapsed() > Duration::from_secs(30) {
                return Err(format!("{name} does not answer: {error}").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The microseconds of the processor that the process has had so far, the kernel's for it included.
    pub(crate) fn cpu(&self) -> Result<f64, Failure> {
        let line = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may hold spaces.
        let fields: Vec<&str> = line.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks =
            |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok()).ok_or("no times");
        // Fields 14 and 15 of proc(5), in hundredths of a second.
        Ok(10_000.0 * (ticks(11)? + ticks(12)?) as f64)
    }

    /// The memory of the process in MiB.
    pub(crate) fn memory(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1_024.0)
    }
}

/// A program on the processor of the proxies.
pub(crate) fn pinned(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", PROCESSOR]).arg(program);
    command
}

fn port() -> Result<SocketAddr, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What every proxy is told: where the two revisions are, and a folder for its files.
pub(crate) struct Scene {
    pub(crate) stable: SocketAddr,
    pub(crate) canary: SocketAddr,
    pub(crate) folder: PathBuf,
}

impl Scene {
    /// A folder below this one.
    pub(crate) fn below(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    pub(crate) async fn haproxy(&self) -> Result<Proxy, Failure> {
        let (address, path) = (port()?, self.below("haproxy")?.join("haproxy.cfg"));
        let text = format!(
            "global\n  nbthread 1\n  maxconn 4096\n\
             defaults\n  mode http\n  timeout connect 1s\n  timeout client 75s\n  timeout server 60s\n\
             frontend callers\n  bind {address}\n\
             \x20 http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str \"Bearer {KEY}\" }}\n\
             \x20 http-request set-header x-forwarded-for %[src]\n  default_backend revisions\n\
             backend revisions\n  balance roundrobin\n  http-reuse always\n\
             \x20 server stable {} weight 90\n  server canary {} weight 10\n",
            self.stable, self.canary
        );
        std::fs::write(&path, text)?;
        let target = Target::new(address, "/score");
        Proxy::start("haproxy", target, None, pinned("/usr/sbin/haproxy").arg("-db").arg("-f").arg(path))
            .await
    }

    pub(crate) async fn nginx(&self) -> Result<Proxy, Failure> {
        let (address, folder) = (port()?, self.below("nginx")?);
        let shown = folder.display();
        let text = format!(
            "daemon off;\nmaster_process off;\nworker_processes 1;\npid {shown}/pid;\nerror_log {shown}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n  access_log off;\n  keepalive_requests 1000000000;\n\
             \x20 client_body_temp_path {shown};\n  proxy_temp_path {shown};\n  fastcgi_temp_path {shown};\n\
             \x20 uwsgi_temp_path {shown};\n  scgi_temp_path {shown};\n\
             \x20 map $http_authorization $is_caller {{ default 0; \"Bearer {KEY}\" 1; }}\n\
             \x20 upstream revisions {{\n    server {} weight=90;\n    server {} weight=10;\n    keepalive 256;\n\
             \x20   keepalive_requests 1000000000;\n  }}\n\
             \x20 server {{\n    listen {address};\n    location / {{\n      if ($is_caller = 0) {{ return 401; }}\n\
             \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n\
             \x20     proxy_set_header X-Forwarded-For $remote_addr;\n      proxy_pass http://revisions;\n    }}\n  }}\n}}\n",
            self.stable, self.canary
        );
        let path = folder.join("nginx.conf");
        std::fs::write(&path, text)?;
        let target = Target::new(address, "/score");
        Proxy::start(
            "nginx",
            target,
            None,
            pinned("/usr/sbin/nginx").arg("-c").arg(path).arg("-p").arg(folder),
        )
        .await
    }

    /// A program of whoever measures.
    pub(crate) async fn peer(&self, program: &str) -> Result<Proxy, Failure> {
        let address = port()?;
        let mut command = pinned(program);
        command.args([address, self.stable, self.canary].map(|address| address.to_string())).arg(KEY);
        Proxy::start("peer", Target::new(address, "/score"), None, &mut command).await
    }

    /// Ours, with more in its document.
    pub(crate) async fn gateway(
        &self,
        name: &'static str,
        more: &Value,
        log: &str,
    ) -> Result<Proxy, Failure> {
        let folder = self.below(name)?;
        std::fs::write(folder.join("churn.json"), self.document("churn", 10, more).to_string())?;
        let mut command = gateway()?;
        command.arg("--routes").arg(&folder);
        self.run(name, &mut command, log).await
    }

    /// Runs ours with some source of documents.
    pub(crate) async fn run(
        &self,
        name: &'static str,
        command: &mut Command,
        log: &str,
    ) -> Result<Proxy, Failure> {
        let (address, admin) = (port()?, port()?);
        command.arg(format!("--http={address}")).arg(format!("--admin={admin}"));
        command.arg(format!("--log-level={log}")).args(["--threads=1", "--drain-seconds=0"]);
        command.stderr(std::fs::File::create(self.below(name)?.join("log"))?);
        let target = Target::new(address, "/endpoints/team/churn/score");
        Proxy::start(name, target, Some(admin), command).await
    }

    /// The document of an endpoint.
    pub(crate) fn document(&self, name: &str, canary: u32, more: &Value) -> Value {
        let digest = format!("{:x}", Sha256::digest(KEY));
        let mut document = json!({
            "namespace": "team", "name": name, "auth": {"mode": "Key", "digests": [digest]},
            "revisions": [
                {"name": "stable", "address": self.stable.to_string(), "weight": 100 - canary},
                {"name": "canary", "address": self.canary.to_string(), "weight": canary},
            ],
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            document[field] = value.clone();
        }
        document
    }
}

/// Ours, which was built beside this program.
pub(crate) fn gateway() -> Result<Command, Failure> {
    let path = std::env::current_exe()?.with_file_name("mlops-gateway");
    if !path.exists() {
        return Err(format!("{} is missing: run it by cargo xtask bench gateway", path.display()).into());
    }
    Ok(pinned(path))
}

/// Whether everything that is compared with is there.
pub(crate) fn check() -> Result<(), Failure> {
    let missing: Vec<&str> = [("haproxy", "/usr/sbin/haproxy"), ("nginx-light", "/usr/sbin/nginx")]
        .into_iter()
        .filter(|(_, path)| !Path::new(path).exists())
        .map(|(package, _)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    Err(format!("{packages} not found: run `apt-get install --no-install-recommends {packages}`").into())
}
