//! `status --watch`: prints again on every change, until all is settled or the time is over.
use std::collections::BTreeMap;
use std::future;
use std::hash::Hash;
use std::time::Duration;

use api::{Endpoint, ServingRuntime};
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::time::{Instant, sleep_until};

use super::report::{Report, Seen};
use super::{Scope, render};
use crate::arguments::StatusOptions;
use crate::connect::Cluster;
use crate::failure::{Failure, Outcome};
use crate::objects::{self, AzureObject, Kind};
use crate::output::{self, Format, Style};

/// How long changes are gathered before they are printed: a rollout makes several at once.
const PAUSE: Duration = Duration::from_millis(100);

/// How changes are shown, and for how long.
pub(super) struct Display {
    format: Format,
    style: Style,
    timeout: Option<Duration>,
    /// Whether each print takes the place of the one before.
    in_place: bool,
}

impl Display {
    pub(super) fn new(options: &StatusOptions, format: Format, style: Style) -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        Self { format, style, timeout: options.timeout, in_place: terminal && format == Format::Table }
    }
}

enum Change {
    Endpoint(Box<watcher::Event<Endpoint>>),
    Runtime(Box<watcher::Event<ServingRuntime>>),
    Pod(Box<watcher::Event<Pod>>),
    Azure(Kind, Box<watcher::Event<AzureObject>>),
}

impl Change {
    fn is_first_list_done(&self) -> bool {
        match self {
            Self::Endpoint(event) => matches!(**event, watcher::Event::InitDone),
            Self::Runtime(event) => matches!(**event, watcher::Event::InitDone),
            Self::Pod(event) => matches!(**event, watcher::Event::InitDone),
            Self::Azure(_, event) => matches!(**event, watcher::Event::InitDone),
        }
    }
}

type Changes = SelectAll<BoxStream<'static, Result<Change, watcher::Error>>>;

/// What is known of the cluster by now.
struct Known {
    endpoints: Writer<Endpoint>,
    runtimes: Writer<ServingRuntime>,
    pods: Writer<Pod>,
    azure: BTreeMap<Kind, Writer<AzureObject>>,
    /// How many of the streams have not delivered their first list yet.
    awaited: usize,
}

impl Known {
    fn new(awaited: usize, kinds: impl Iterator<Item = Kind>) -> Self {
        Self {
            endpoints: Writer::new(()),
            runtimes: Writer::new(()),
            pods: Writer::new(()),
            azure: kinds.map(|kind| (kind, Writer::new(kind.resource()))).collect(),
            awaited,
        }
    }

    fn learn(&mut self, change: &Change) {
        self.awaited = self.awaited.saturating_sub(usize::from(change.is_first_list_done()));
        match change {
            Change::Endpoint(event) => self.endpoints.apply_watcher_event(event),
            Change::Runtime(event) => self.runtimes.apply_watcher_event(event),
            Change::Pod(event) => self.pods.apply_watcher_event(event),
            Change::Azure(kind, event) => {
                if let Some(writer) = self.azure.get_mut(kind) {
                    writer.apply_watcher_event(event);
                }
            }
        }
    }

    fn report(&self) -> Report {
        Report::new(Seen {
            endpoints: state(&self.endpoints),
            runtimes: state(&self.runtimes),
            pods: Some(state(&self.pods)),
            azure: self.azure.iter().map(|(kind, writer)| (*kind, state(writer))).collect(),
        })
    }
}

fn state<K>(writer: &Writer<K>) -> Vec<K>
where
    K: kube::Resource<DynamicType: Clone + Eq + Hash> + Clone + 'static,
{
    writer.as_reader().state().iter().map(|object| (**object).clone()).collect()
}

/// Watches until all is settled, the time is over, or what was named is gone.
pub(super) async fn run(
    cluster: &Cluster,
    scope: &Scope,
    seen: &Seen,
    display: &Display,
) -> Result<Outcome, Failure> {
    let mut changes = changes(cluster, scope, seen);
    let mut known = Known::new(changes.len(), seen.azure.keys().copied());
    let end = display.timeout.map(|timeout| Instant::now() + timeout);
    let mut print_at = None;
    let mut printed = String::new();
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(change)) => {
                    known.learn(&change);
                    if known.awaited == 0 {
                        print_at.get_or_insert_with(|| Instant::now() + PAUSE);
                    }
                }
                Some(Err(error)) => output::progress(&format!("still trying: {error}")),
                None => return Err(Failure::Error("the watch ended".to_owned())),
            },
            () = until(print_at) => {
                print_at = None;
                let report = known.report();
                print(&report, scope, display, &mut printed)?;
                if let Some(outcome) = verdict(&report, scope) {
                    return Ok(outcome);
                }
            }
            () = until(end) => {
                output::progress("not ready in time");
                return Ok(Outcome::Unhealthy);
            }
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}

/// How the watch ends, if it does now.
fn verdict(report: &Report, scope: &Scope) -> Option<Outcome> {
    if report.is_empty() && scope.selection.name.is_some() {
        output::progress("it was deleted");
        return Some(Outcome::Unhealthy);
    }
    report.is_settled().then(|| Outcome::from_health(report.is_ready()))
}

fn print(report: &Report, scope: &Scope, display: &Display, printed: &mut String) -> Result<(), Failure> {
    let text = render(report, scope, display.format, display.style)?;
    if text == *printed {
        return Ok(());
    }
    let between = match display.format {
        Format::Table if display.in_place => output::CLEAR,
        Format::Table if printed.is_empty() => "",
        Format::Table => "\n",
        Format::Yaml => "---\n",
        Format::Json => "",
    };
    output::print(&format!("{between}{text}"))?;
    *printed = text;
    Ok(())
}

fn changes(cluster: &Cluster, scope: &Scope, seen: &Seen) -> Changes {
    let namespace = scope.namespace.as_deref();
    let config = match &scope.selection.name {
        Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
        None => watcher::Config::default(),
    };
    let mut changes = Changes::new();
    if scope.selection.includes(Kind::Endpoint) {
        let endpoints = watcher(objects::scoped(cluster, namespace), config.clone());
        changes.push(endpoints.default_backoff().map_ok(|event| Change::Endpoint(Box::new(event))).boxed());
        if seen.pods.is_some() {
            let config = watcher::Config::default().labels(&scope.pod_selector());
            let pods = watcher(objects::scoped(cluster, namespace), config);
            changes.push(pods.default_backoff().map_ok(|event| Change::Pod(Box::new(event))).boxed());
        }
    }
    if scope.selection.includes(Kind::ServingRuntime) {
        let runtimes = watcher(objects::scoped(cluster, namespace), config.clone());
        changes.push(runtimes.default_backoff().map_ok(|event| Change::Runtime(Box::new(event))).boxed());
    }
    for kind in seen.azure.keys().copied() {
        let objects = watcher(objects::azure_api(cluster, kind, namespace), config.clone());
        let change = move |event| Change::Azure(kind, Box::new(event));
        changes.push(objects.default_backoff().map_ok(change).boxed());
    }
    changes
}
