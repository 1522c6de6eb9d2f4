//! `rollout --watch`: draws the rollout again on every change, until it has come to an end.
use std::future;
use std::time::Duration;

use api::Endpoint;
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::time::{Instant, sleep_until};

use super::render;
use super::report::Report;
use crate::arguments::RolloutStatusOptions;
use crate::connect::Cluster;
use crate::failure::{Failure, Outcome};
use crate::objects;
use crate::output::{self, Format, Style};

/// How often the time left is drawn anew on a terminal.
const TICK: Duration = Duration::from_secs(1);

/// How changes are shown, and for how long.
pub(super) struct Display {
    format: Format,
    style: Style,
    timeout: Option<Duration>,
    /// Whether each print takes the place of the one before.
    in_place: bool,
}

impl Display {
    pub(super) fn new(options: &RolloutStatusOptions, format: Format, style: Style) -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        Self { format, style, timeout: options.timeout, in_place: terminal && format == Format::Table }
    }
}

/// Watches until the rollout has come to an end, the time is over, or the Endpoint is gone.
pub(super) async fn run(cluster: &Cluster, name: &str, display: &Display) -> Result<Outcome, Failure> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let api = objects::scoped::<Endpoint>(cluster, Some(&cluster.namespace));
    let mut changes = watcher(api, config).default_backoff().boxed();
    let end = display.timeout.map(|timeout| Instant::now() + timeout);
    let mut shown = Shown::default();
    let mut seen: Option<Endpoint> = None;
    let mut listed = None;
    loop {
        let tick = seen.as_ref().filter(|_| display.in_place).map(|_| Instant::now() + TICK);
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(watcher::Event::Init)) => listed = None,
                Some(Ok(watcher::Event::InitApply(endpoint))) => listed = Some(endpoint),
                Some(Ok(watcher::Event::InitDone)) => seen = Some(listed.take().ok_or_else(gone)?),
                Some(Ok(watcher::Event::Apply(endpoint))) => seen = Some(endpoint),
                Some(Ok(watcher::Event::Delete(_))) => return Err(gone()),
                Some(Err(error)) => output::progress(&format!("still trying: {error}")),
                None => return Err(Failure::Error("the watch ended".to_owned())),
            },
            () = until(tick) => {}
            () = until(end) => {
                output::progress("the rollout has not come to an end in time");
                return Ok(Outcome::Unhealthy);
            }
        }
        if let Some(endpoint) = &seen {
            let report = Report::new(endpoint, Timestamp::now());
            shown.print(&report, display)?;
            if let Some(outcome) = report.end() {
                return Ok(outcome);
            }
        }
    }
}

fn gone() -> Failure {
    Failure::Error("the Endpoint was deleted".to_owned())
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}

/// What was printed last.
#[derive(Default)]
pub(super) struct Shown {
    report: Option<Report>,
}

impl Shown {
    fn print(&mut self, report: &Report, display: &Display) -> Result<(), Failure> {
        if let Some(text) = self.next(report, display)? {
            output::print(&text)?;
        }
        Ok(())
    }

    /// What to print, if anything. Off a terminal, that time passes is no change.
    fn next(&mut self, report: &Report, display: &Display) -> Result<Option<String>, Failure> {
        let timeless = timeless(report);
        let same = if display.in_place {
            Some(report) == self.report.as_ref()
        } else {
            self.report.as_ref() == Some(&timeless)
        };
        if same {
            return Ok(None);
        }
        let between = match display.format {
            Format::Table if display.in_place => output::CLEAR,
            Format::Table if self.report.is_none() => "",
            Format::Table => "\n",
            Format::Yaml => "---\n",
            Format::Json => "",
        };
        let text = render(report, display.format, display.style)?;
        self.report = Some(if display.in_place { report.clone() } else { timeless });
        Ok(Some(format!("{between}{text}")))
    }
}

fn timeless(report: &Report) -> Report {
    let mut report = report.clone();
    for step in &mut report.steps {
        step.seconds_left = step.seconds_left.map(|_| 0);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::PLAIN;
    use crate::rollout::tests::{canary, time};

    fn display(in_place: bool) -> Display {
        Display { format: Format::Table, style: PLAIN, timeout: None, in_place }
    }

    #[test]
    fn off_a_terminal_only_changes_are_printed() {
        let (endpoint, mut shown) = (canary(), Shown::default());
        let mut next = |minutes| shown.next(&Report::new(&endpoint, time(minutes)), &display(false)).unwrap();
        assert!(next(1).unwrap().starts_with("… Rollout"));
        assert_eq!(next(2), None);
    }

    #[test]
    fn on_a_terminal_the_time_left_is_drawn_anew() {
        let (endpoint, mut shown) = (canary(), Shown::default());
        let mut next = |minutes| shown.next(&Report::new(&endpoint, time(minutes)), &display(true)).unwrap();
        assert!(next(1).unwrap().starts_with(output::CLEAR));
        assert_eq!(next(1), None);
        assert!(next(2).unwrap().contains("3m left"));
    }
}
