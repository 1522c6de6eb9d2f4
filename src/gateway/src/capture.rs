//! Captures of requests and answers: buffered in bounded memory, written in batches beside the path of requests.
//!
//! A folder gets `NAMESPACE/NAME/REVISION/model_inputs/yyyy/MM/dd/HH/INSTANCE.jsonl`, which grows. A container of Azure
//! Storage gets one blob for each batch, `INSTANCE-START-NUMBER.jsonl`, since a blob that is written whole can't be cut
//! off; START, the second in which the process began, keeps a container that starts again from writing over what it
//! wrote before. Parquet is one file for each batch everywhere, `INSTANCE-START-NUMBER.parquet`.
mod azure;
mod files;
mod frame;
mod growing;
mod parquet;
mod record;
mod rows;
mod titles;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use object_store::azure::MicrosoftAzure;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use self::files::Made;
use self::growing::Spare;
use crate::config::{Format, Store};
use crate::drain::stopped;
use crate::exchange::Exchange;
use crate::metrics::{Captured, Metrics};

/// The most exchanges that become lines of files of this machine at once: so few that a processor still has their bodies
/// in its cache.
const LINES: usize = 128;
/// How long new exchanges gather in the buffer before anybody looks at them: to be woken for each costs as much as a
/// tenth of its record.
const GATHER: Duration = Duration::from_millis(2);
/// The most exchanges of one file that is written whole.
const WHOLE: usize = 512;
/// The most bytes of bodies that are made into records at once, which take several times as many.
const BYTES: usize = 8 * 1024 * 1024;

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

impl Writer {
    /// Writes until `stop`, and then what is left.
    pub async fn run(mut self, state: Arc<crate::state::State>, mut stop: watch::Receiver<bool>) {
        let (mut stores, mut spare, mut number) = (HashMap::new(), Spare::default(), 0_u64);
        let (mut received, mut batches) = (Vec::with_capacity(LINES), [Batch::new(LINES), Batch::new(WHOLE)]);
        let started = Timestamp::now().as_second();
        let mut is_open = true;
        while is_open {
            let due = batches.iter().filter_map(|batch| batch.due).min();
            tokio::select! {
                count = self.receiver.recv_many(&mut received, LINES) => is_open = count > 0,
                () = stopped(&mut stop), if !self.receiver.is_closed() => self.receiver.close(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            if received.len() < LINES && !self.receiver.is_closed() {
                tokio::time::sleep(GATHER.min(self.linger)).await;
            }
            let due = Instant::now() + self.linger;
            for exchange in received.drain(..) {
                let [lines, whole] = &mut batches;
                if grows(&exchange) { lines } else { whole }.push(exchange, due);
            }
            for batch in &mut batches {
                let mut exchanges = if is_open { batch.take() } else { batch.take_all() };
                while !exchanges.is_empty() {
                    number += 1;
                    let name = format!("{}-{started}-{number:06}", self.instance);
                    let now = exchanges.drain(..within(&exchanges)).collect();
                    spare = self.write(&state.metrics, now, name, &mut stores, spare).await;
                }
            }
        }
    }

    /// Writes a batch with memory of the last one, and returns that for the next one.
    async fn write(
        &self,
        metrics: &Metrics,
        exchanges: Vec<Arc<Exchange>>,
        name: String,
        stores: &mut HashMap<String, Arc<MicrosoftAzure>>,
        mut spare: Spare,
    ) -> Spare {
        let oldest = exchanges.iter().map(|exchange| exchange.asked.at).min();
        // Parsing and files block: they get a thread of their own.
        let instance = self.instance.clone();
        let made = tokio::task::spawn_blocking(move || {
            let Made { files, grown, lost } = files::make(&exchanges, &instance, &name, &mut spare);
            let (local, remote): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.azure.is_none());
            let local: Vec<_> = local.into_iter().map(|file| (file.keep(), file)).collect();
            (grown, local, remote, lost, spare)
        });
        let Ok((grown, local, remote, lost, spare)) = made.await else {
            tracing::error!("a batch of captures ended abruptly");
            return Spare::default();
        };
        for (endpoint, result) in lost {
            metrics.captured(&endpoint, result, 1);
        }
        for (endpoint, lines) in grown {
            if lines.written > 0 {
                self.count(metrics, &endpoint, lines.written, Ok(()));
            }
            if let Some(error) = lines.error {
                self.count(metrics, &endpoint, lines.failed, Err(error));
            }
        }
        for (result, file) in local {
            self.count(metrics, &file.endpoint, file.records, result);
        }
        for file in remote {
            let address = file.azure.unwrap_or_default();
            let result = azure::put(stores, &self.client, &address, &file.path, file.bytes).await;
            self.count(metrics, &file.endpoint, file.records, result);
        }
        if let Some(oldest) = oldest {
            metrics.capture_lag.set(Timestamp::now().duration_since(oldest).as_secs_f64());
        }
        spare
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

/// Exchanges that wait for more, so that they are worth their writing.
struct Batch {
    exchanges: Vec<Arc<Exchange>>,
    most: usize,
    /// When the first of them has waited long enough.
    due: Option<Instant>,
}

impl Batch {
    fn new(most: usize) -> Self {
        Self { exchanges: Vec::with_capacity(most), most, due: None }
    }

    fn push(&mut self, exchange: Arc<Exchange>, due: Instant) {
        self.exchanges.push(exchange);
        self.due.get_or_insert(due);
    }

    /// The exchanges, if there are enough of them or they have waited long enough.
    fn take(&mut self) -> Vec<Arc<Exchange>> {
        let is_due = self.due.is_some_and(|due| due <= Instant::now());
        if is_due || self.exchanges.len() >= self.most { self.take_all() } else { Vec::new() }
    }

    fn take_all(&mut self) -> Vec<Arc<Exchange>> {
        self.due = None;
        std::mem::replace(&mut self.exchanges, Vec::with_capacity(self.most))
    }
}

/// Whether an exchange becomes lines of a file of this machine.
fn grows(exchange: &Exchange) -> bool {
    let capture = exchange.asked.endpoint.route.capture.as_ref();
    capture.is_some_and(|capture| {
        matches!(capture.store, Store::Folder(_)) && capture.format == Format::JsonLines
    })
}

/// How many of the first exchanges are made into records at once: at least one.
fn within(batch: &[Arc<Exchange>]) -> usize {
    let mut bytes = 0;
    let fits = |exchange: &&Arc<Exchange>| {
        bytes += [&exchange.request, &exchange.answer]
            .map(|body| body.whole().map_or(0, <[u8]>::len))
            .iter()
            .sum::<usize>();
        bytes <= BYTES
    };
    batch.iter().take_while(fits).count().max(1)
}
