//! Command jobs: inputs and code fetched, the command run in its sandbox, outputs, metrics and logs kept.
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};
use tokio::io::BufReader;
use tokio::process::Child;

use super::jobs::Job;
use super::substitute::{self, Values};
use super::{blobs, metrics, process};
use crate::address::Address;
use crate::operation::merge;
use crate::state::text;

/// All that a job may have on the disk: inputs, code and outputs.
const DISK: u64 = 2 << 30;
/// One input, the code, and one output.
const PART: u64 = 1 << 30;
/// Between two looks at the disk.
const LOOK: Duration = Duration::from_secs(1);
/// How long after the end of the command its output may still come.
const REST: Duration = Duration::from_secs(2);

/// The folders of a running job.
struct Work {
    root: tempfile::TempDir,
}

impl Work {
    fn new() -> anyhow::Result<Self> {
        let work = Self { root: tempfile::Builder::new().prefix("job-").tempdir()? };
        for name in ["code", "inputs", "outputs", "tmp"] {
            std::fs::create_dir(work.at(name))?;
        }
        Ok(work)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

/// An output of the job: where it is written, and where it goes.
struct Output {
    name: String,
    path: PathBuf,
    uri: String,
}

/// Runs the job's command; what is to be said of the job when it is over.
pub(super) async fn run(job: &Job) -> anyhow::Result<Value> {
    let work = Work::new()?;
    let mut values = Values::new();
    inputs(job, &work, &mut values).await?;
    let outputs = outputs(job, &work, &mut values)?;
    if let Some(code) = job.properties["codeId"].as_str().filter(|code| !code.is_empty()) {
        let place = job.finder().find(code, "codes")?;
        job.shared
            .blobs
            .download(&place, &work.at("code"), PART)
            .await
            .context("failed to fetch the code")?;
    }
    let command = substitute::command(text(&job.properties, "/command"), &values)?;
    job.shared.sandbox.give(work.root.path())?;
    job.status("Running");
    let ended = execute(job, &work, &command, &values).await;
    job.status("Finalizing");
    let mut patch = kept(job, &work).await?;
    if let Err(error) = ended {
        // What it measured before it failed is known all the same.
        job.patch(&patch);
        return Err(error);
    }
    for output in outputs {
        let place = job.finder().find(&output.uri, "data")?;
        let count = job.shared.blobs.upload(&output.path, &place, PART).await;
        let count = count.with_context(|| format!("failed to keep the output '{}'", output.name))?;
        job.run.log.push(&format!("The output '{}' has {count} files.", output.name));
        merge(&mut patch, &json!({"outputs": {output.name: {"uri": output.uri}}}));
    }
    Ok(patch)
}

fn entries<'a>(properties: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    properties[name].as_object().into_iter().flatten()
}

/// A name that is a folder's and a variable's.
fn plain(name: &str) -> anyhow::Result<&str> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    ensure!(
        !name.is_empty() && name.len() < 200 && name.chars().all(fits),
        "'{name}' is no name of an input or output"
    );
    Ok(name)
}

async fn inputs(job: &Job, work: &Work, values: &mut Values) -> anyhow::Result<()> {
    for (name, input) in entries(&job.properties, "inputs") {
        let name = plain(name)?;
        let uri = text(input, "/uri");
        let literal = text(input, "/jobInputType").eq_ignore_ascii_case("literal") || uri.is_empty();
        let value = if literal {
            match &input["value"] {
                Value::String(text) => text.clone(),
                Value::Null => continue,
                other => other.to_string(),
            }
        } else if text(input, "/mode").eq_ignore_ascii_case("Direct") {
            uri.to_owned()
        } else {
            let place = job.finder().find(uri, "data")?;
            let folder = work.at("inputs").join(name);
            tokio::fs::create_dir_all(&folder).await?;
            let path = job.shared.blobs.download(&place, &folder, PART).await;
            path.with_context(|| format!("failed to fetch the input '{name}'"))?.display().to_string()
        };
        values.insert(format!("inputs.{name}"), value);
    }
    Ok(())
}

fn outputs(job: &Job, work: &Work, values: &mut Values) -> anyhow::Result<Vec<Output>> {
    let mut all = Vec::new();
    for (name, output) in entries(&job.properties, "outputs") {
        let name = plain(name)?;
        let folder = work.at("outputs").join(name);
        std::fs::create_dir_all(&folder)?;
        let is_file = text(output, "/jobOutputType").eq_ignore_ascii_case("uri_file");
        let path = if is_file { folder.join(name) } else { folder };
        let uri = match text(output, "/uri") {
            "" => format!("azureml://datastores/workspaceblobstore/paths/azureml/{}/{name}", job.name),
            given => given.replace("${{name}}", &job.name).trim_end_matches('/').to_owned(),
        };
        values.insert(format!("outputs.{name}"), path.display().to_string());
        all.push(Output { name: name.to_owned(), path, uri });
    }
    Ok(all)
}

/// The variables that a command finds.
fn environment(job: &Job, work: &Work, values: &Values) -> Vec<(String, String)> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    let address = Address::parse(&job.id);
    let part = |read: fn(&Address) -> &str| address.as_ref().map(read).unwrap_or_default().to_owned();
    let workspace = job.home.rsplit('/').next().unwrap_or_default().to_owned();
    let mut all: Vec<(String, String)> = [
        ("PATH", path),
        ("HOME", work.at("tmp").display().to_string()),
        ("TMPDIR", work.at("tmp").display().to_string()),
        ("AZUREML_RUN_ID", job.name.clone()),
        ("AZUREML_METRICS", work.at("tmp").join("metrics.jsonl").display().to_string()),
        ("AZUREML_ARM_SUBSCRIPTION", part(Address::subscription)),
        ("AZUREML_ARM_RESOURCEGROUP", part(Address::resource_group)),
        ("AZUREML_ARM_WORKSPACE_NAME", workspace),
        ("AZUREML_EXPERIMENT_NAME", text(&job.properties, "/experimentName").to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let named = |(name, value): (&String, &String)| {
        let name = name.replace("inputs.", "AZUREML_INPUT_").replace("outputs.", "AZUREML_OUTPUT_");
        (name, value.clone())
    };
    all.extend(values.iter().map(named));
    let given = entries(&job.properties, "environmentVariables")
        .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    all.extend(
        given
            .filter(|(name, value)| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')),
    );
    all
}

/// Ends the whole group when the job is over, however it ends.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        process::kill(self.0);
    }
}

async fn execute(job: &Job, work: &Work, text: &str, values: &Values) -> anyhow::Result<()> {
    let mut command = job.shared.sandbox.command(text, &work.at("code"));
    command.envs(environment(job, work, values));
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("failed to start the command")?;
    // The command holds the writing ends; the job's output ends with the last of its processes.
    drop(command);
    let group = Group(child.id().context("the command ended at once")?);
    let output = tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into())?;
    let log = std::sync::Arc::clone(&job.run.log);
    let reading = async move { process::lines(BufReader::new(output), |line| log.push(line)).await };
    let reading = job.shared.tasks.spawn(reading);
    let limit = timeout(job);
    let result = tokio::time::timeout(limit, watched(&mut child, work.root.path())).await;
    drop(group);
    // A process that left the group may hold the pipe for ever.
    let _ = tokio::time::timeout(REST, reading).await;
    match result {
        Ok(ended) => ended,
        Err(_) => bail!("The job was ended after {} seconds, which its limit is.", limit.as_secs()),
    }
}

/// The job's own limit, within that of the emulator.
fn timeout(job: &Job) -> Duration {
    let own = text(&job.properties, "/limits/timeout").parse::<jiff::SignedDuration>().ok();
    let own = own.and_then(|span| Duration::try_from(span).ok()).filter(|span| !span.is_zero());
    own.unwrap_or(job.shared.options.job_timeout).min(job.shared.options.job_timeout)
}

/// Waits for the command, and looks at what it leaves on the disk meanwhile.
async fn watched(child: &mut Child, root: &Path) -> anyhow::Result<()> {
    loop {
        if let Ok(status) = tokio::time::timeout(LOOK, child.wait()).await {
            let status = status?;
            if status.success() {
                return Ok(());
            }
            let how =
                status.code().map_or_else(|| "a signal".to_owned(), |code| format!("status code {code}"));
            bail!(
                "Execution failed. User process 'sh' exited with {how}. Please check log file \
                 'user_logs/std_log.txt' for error details."
            );
        }
        let root = root.to_owned();
        let found = tokio::task::spawn_blocking(move || blobs::files(&root)).await?;
        let used: u64 = found?.iter().map(|(_, size)| size).sum();
        ensure!(
            used <= DISK,
            "The job was ended: it has {used} bytes on the disk, which is more than {DISK}."
        );
    }
}

/// Keeps metrics and what the command left in `./outputs`; what is to be said of the job.
async fn kept(job: &Job, work: &Work) -> anyhow::Result<Value> {
    let place = job.finder().artifacts(&job.name)?;
    job.shared.blobs.upload(&work.at("code").join("outputs"), &place.child("outputs"), PART).await?;
    let file = work.at("tmp").join("metrics.jsonl");
    let mut found = Map::new();
    // A link would lead the reader elsewhere.
    if std::fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
        let bytes = tokio::fs::read(&file).await?;
        found = metrics::properties(&metrics::last(&String::from_utf8_lossy(&bytes)));
        job.artifact("metrics.jsonl", bytes.into()).await?;
    }
    Ok(json!({"properties": found}))
}
