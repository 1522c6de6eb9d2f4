//! Captures of requests and answers: buffered in bounded memory, written in batches beside the path of requests.
//!
//! A folder gets `NAMESPACE/NAME/REVISION/model_inputs/yyyy/MM/dd/HH/INSTANCE.jsonl`, which grows. A container of Azure
//! Storage gets one blob for each batch, `INSTANCE-NUMBER.jsonl`, since a blob that is written whole can't be cut off.
mod azure;
mod record;

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use object_store::azure::MicrosoftAzure;
use tokio::sync::{mpsc, watch};

use crate::config::Store;
use crate::drain::stopped;
use crate::exchange::Exchange;
use crate::metrics::{Captured, Metrics};

/// The most exchanges of a batch.
const BATCH: usize = 512;

/// The buffer of captures.
pub struct Captures(mpsc::Sender<Arc<Exchange>>);

impl Captures {
    /// A buffer for so many exchanges, and its other end.
    pub fn new(room: usize) -> (Self, mpsc::Receiver<Arc<Exchange>>) {
        let (sender, receiver) = mpsc::channel(room);
        (Self(sender), receiver)
    }

    /// Takes an exchange if there is room, and never waits.
    pub fn offer(&self, metrics: &Metrics, exchange: &Arc<Exchange>) {
        if self.0.try_send(Arc::clone(exchange)).is_err() {
            metrics.captured(&exchange.asked.endpoint.key, Captured::Full, 1);
        }
    }
}

/// What writes captures.
pub struct Writer {
    /// The other end of the buffer.
    pub receiver: mpsc::Receiver<Arc<Exchange>>,
    /// How long a batch waits for more.
    pub linger: Duration,
    /// The name of this replica.
    pub instance: String,
    /// The client for Azure Storage.
    pub client: reqwest::Client,
}

/// The records of one file.
#[derive(Default)]
struct File {
    lines: Vec<u8>,
    exchanges: u64,
}

/// Where records belong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    endpoint: Arc<str>,
    azure: Option<String>,
    folder: std::path::PathBuf,
}

impl Writer {
    /// Writes until `stop`, and then what is left.
    pub async fn run(mut self, state: Arc<crate::state::State>, mut stop: watch::Receiver<bool>) {
        let (mut batch, mut number, mut stores) = (Vec::with_capacity(BATCH), 0_u64, HashMap::new());
        loop {
            tokio::select! {
                received = self.receiver.recv_many(&mut batch, BATCH) => if received == 0 { return },
                () = stopped(&mut stop) => self.receiver.close(),
            }
            if !self.receiver.is_closed() {
                self.fill(&mut batch, &mut stop).await;
            }
            number += 1;
            let exchanges = std::mem::take(&mut batch);
            if !exchanges.is_empty() {
                self.write(&state.metrics, exchanges, number, &mut stores).await;
            }
            if self.receiver.is_closed() && self.receiver.is_empty() {
                return;
            }
        }
    }

    /// Waits a while for more, so that a batch is worth its writing.
    async fn fill(&mut self, batch: &mut Vec<Arc<Exchange>>, stop: &mut watch::Receiver<bool>) {
        let until = tokio::time::Instant::now() + self.linger;
        while batch.len() < BATCH {
            let more = self.receiver.recv_many(batch, BATCH);
            tokio::select! {
                more = tokio::time::timeout_at(until, more) => if matches!(more, Err(_) | Ok(0)) { return },
                () = stopped(stop) => return,
            }
        }
    }

    async fn write(
        &self,
        metrics: &Metrics,
        exchanges: Vec<Arc<Exchange>>,
        number: u64,
        stores: &mut HashMap<String, Arc<MicrosoftAzure>>,
    ) {
        let oldest = exchanges.iter().map(|exchange| exchange.asked.at).min();
        // Parsing and files block: they get a thread of their own.
        let instance = self.instance.clone();
        let rendered = tokio::task::spawn_blocking(move || {
            let (files, unfit) = render(&exchanges);
            let (local, remote): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|(place, _)| place.azure.is_none());
            let appended: Vec<_> = local
                .into_iter()
                .map(|(place, file)| {
                    let path = place.folder.join(format!("{instance}.jsonl"));
                    (place.endpoint, file.exchanges, append(&path, &file.lines))
                })
                .collect();
            (appended, remote, unfit)
        });
        let Ok((appended, remote, unfit)) = rendered.await else {
            tracing::error!("a batch of captures ended abruptly");
            return;
        };
        for endpoint in unfit {
            metrics.captured(&endpoint, Captured::Unfit, 1);
        }
        for (endpoint, exchanges, result) in appended {
            self.count(metrics, &endpoint, exchanges, result.map_err(|error| error.to_string()));
        }
        for (place, file) in remote {
            let name = place.folder.join(format!("{}-{number:06}.jsonl", self.instance));
            let address = place.azure.unwrap_or_default();
            let result = azure::put(stores, &self.client, &address, &name, file.lines).await;
            self.count(metrics, &place.endpoint, file.exchanges, result);
        }
        if let Some(oldest) = oldest {
            metrics.capture_lag.set(Timestamp::now().duration_since(oldest).as_secs_f64());
        }
    }

    fn count(&self, metrics: &Metrics, endpoint: &str, records: u64, result: Result<(), String>) {
        let counted = match result {
            Ok(()) => Captured::Written,
            Err(error) => {
                let instance = &self.instance;
                tracing::error!(endpoint, records, error, instance, "captures can't be written and are lost");
                Captured::Failed
            }
        };
        metrics.captured(endpoint, counted, records);
    }
}

/// The records by their files, and the endpoints of those that can't be written.
fn render(exchanges: &[Arc<Exchange>]) -> (BTreeMap<Place, File>, Vec<Arc<str>>) {
    let (mut files, mut unfit) = (BTreeMap::<Place, File>::new(), Vec::new());
    for exchange in exchanges {
        let asked = &exchange.asked;
        let Some(capture) = &asked.endpoint.route.capture else { continue };
        let bodies = exchange.request.whole().zip(exchange.answer.whole());
        let records =
            bodies.and_then(|(request, answer)| record::lines(exchange, &capture.masks, request, answer));
        let Some(records) = records else {
            unfit.push(Arc::clone(&asked.endpoint.key));
            continue;
        };
        let (azure, root) = match &capture.store {
            Store::Folder(folder) => (None, folder.clone()),
            Store::Azure(address) => (Some(address.clone()), std::path::PathBuf::new()),
        };
        let (route, hour) =
            (&asked.endpoint.route, asked.at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d/%H").to_string());
        let Some(revision) = route.revisions.get(asked.place) else { continue };
        for (collection, line) in ["model_inputs", "model_outputs"].into_iter().zip(records) {
            let below = format!("{}/{}/{}/{collection}/{hour}", route.namespace, route.name, revision.name);
            let endpoint = Arc::clone(&asked.endpoint.key);
            let place = Place { endpoint, azure: azure.clone(), folder: root.join(below) };
            let file = files.entry(place).or_default();
            file.lines.extend_from_slice(line.as_bytes());
            file.lines.push(b'\n');
            file.exchanges += 1;
        }
    }
    (files, unfit)
}

fn append(path: &Path, lines: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(lines)
}
