//! A batch of exchanges as the files of their endpoints, revisions and hours.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::frame::{Frame, Record};
use super::parquet::{self, About};
use super::record::{self, line};
use super::rows::{Direction, Rows, rows};
use super::titles::Titles;
use crate::config::{Format, Store};
use crate::exchange::Exchange;
use crate::metrics::Captured;

/// What a batch became.
pub(super) struct Made {
    /// Its files.
    pub(super) files: Vec<File>,
    /// The endpoints of exchanges that are in none, and why.
    pub(super) lost: Vec<(Arc<str>, Captured)>,
}

/// A file to be written.
pub(super) struct File {
    /// The endpoint.
    pub(super) endpoint: Arc<str>,
    /// The address of a container, unless it is a file of this machine.
    pub(super) azure: Option<String>,
    /// Its path there.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
    /// How many records that are.
    pub(super) records: u64,
    is_whole: bool,
}

impl File {
    /// Writes it to this machine: behind what is there, or whole, so that nobody reads a part of it.
    pub(super) fn keep(&self) -> Result<(), String> {
        let folder = self.path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = folder.and_then(|()| {
            if self.is_whole { whole(&self.path, &self.bytes) } else { append(&self.path, &self.bytes) }
        });
        written.map_err(|error| error.to_string())
    }
}

fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}

fn whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, bytes)?;
    std::fs::rename(part, path)
}

/// Where records belong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    endpoint: Arc<str>,
    azure: Option<String>,
    folder: PathBuf,
    is_parquet: bool,
}

/// The records of one place.
enum Content {
    Lines { text: String, records: u64 },
    // Another frame begins when the last one has no room for other columns.
    Frames { about: About, frames: Vec<Frame> },
}

/// The files of a batch. Those that grow are called after the instance, all others have the name of the batch.
pub(super) fn make(exchanges: &[Arc<Exchange>], instance: &str, name: &str) -> Made {
    let (mut contents, mut titles, mut lost) = (BTreeMap::new(), Titles::default(), Vec::new());
    for exchange in exchanges {
        if add(exchange, &mut titles, &mut contents).is_none() {
            lost.push((Arc::clone(&exchange.asked.endpoint.key), Captured::Unfit));
        }
    }
    let mut files = Vec::new();
    for (place, content) in contents {
        let Place { endpoint, azure, folder, .. } = place;
        match content {
            Content::Lines { text, records } => {
                let name = if azure.is_some() { name } else { instance };
                let (path, bytes) = (folder.join(format!("{name}.jsonl")), text.into_bytes());
                files.push(File { endpoint, azure, path, bytes, records, is_whole: false });
            }
            Content::Frames { about, frames } => {
                for (part, frame) in frames.iter().enumerate() {
                    let part = if part == 0 { String::new() } else { format!("-{part}") };
                    let path = folder.join(format!("{name}{part}.parquet"));
                    let records = frame.records.len() as u64;
                    match parquet::file(&about, frame) {
                        Ok(bytes) => {
                            let (endpoint, azure) = (Arc::clone(&endpoint), azure.clone());
                            files.push(File { endpoint, azure, path, bytes, records, is_whole: true });
                        }
                        Err(error) => {
                            let of = &*endpoint;
                            tracing::error!(endpoint = of, %error, "captures make no file and are lost");
                            lost.extend(
                                frame.records.iter().map(|_| (Arc::clone(&endpoint), Captured::Failed)),
                            );
                        }
                    }
                }
            }
        }
    }
    Made { files, lost }
}

/// Adds the records of an exchange. None when its bodies can't be recorded.
fn add<'b>(
    exchange: &'b Exchange,
    titles: &mut Titles<'b>,
    contents: &mut BTreeMap<Place, Content>,
) -> Option<()> {
    let asked = &exchange.asked;
    let route = &asked.endpoint.route;
    // A capture that was chosen has settings.
    let Some(capture) = &route.capture else { return Some(()) };
    let masks = &capture.masks;
    let both = [
        (Direction::Inputs, rows(exchange.request.whole()?, Direction::Inputs, masks, titles)?),
        (Direction::Outputs, rows(exchange.answer.whole()?, Direction::Outputs, masks, titles)?),
    ];
    let (azure, root) = match &capture.store {
        Store::Folder(folder) => (None, folder.clone()),
        Store::Azure(address) => (Some(address.clone()), PathBuf::new()),
    };
    let hour = asked.at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d/%H").to_string();
    for (direction, rows) in &both {
        let collection = direction.collection();
        let revision = record::revision(exchange);
        let below = format!("{}/{}/{revision}/{collection}/{hour}", route.namespace, route.name);
        let place = Place {
            endpoint: Arc::clone(&asked.endpoint.key),
            azure: azure.clone(),
            folder: root.join(below),
            is_parquet: capture.format == Format::Parquet,
        };
        let content =
            contents.entry(place).or_insert_with(|| Content::new(exchange, *direction, capture.format));
        match content {
            Content::Lines { text, records } => {
                line(exchange, *direction, rows, text);
                *records += 1;
            }
            Content::Frames { frames, .. } => add_rows(exchange, rows, frames),
        }
    }
    Some(())
}

impl Content {
    fn new(exchange: &Exchange, direction: Direction, format: Format) -> Self {
        match format {
            Format::JsonLines => Self::Lines { text: String::new(), records: 0 },
            Format::Parquet => {
                let revision = record::revision(exchange).to_owned();
                let about = About { source: record::source(exchange), kind: direction.event(), revision };
                Self::Frames { about, frames: vec![Frame::default()] }
            }
        }
    }
}

fn add_rows(exchange: &Exchange, rows: &Rows<'_>, frames: &mut Vec<Frame>) {
    let record = Record {
        id: fastrand::u128(..),
        at: exchange.asked.at,
        request_id: exchange.asked.request_id.clone(),
        rows: rows.len(),
    };
    let mut left = Some(record);
    if let Some((frame, record)) = frames.last_mut().zip(left.take()) {
        left = frame.push(record, rows).err();
    }
    let Some(record) = left else { return };
    let mut frame = Frame::default();
    if let Err(record) = frame.push(record, rows) {
        frame.push_whole(record, rows);
    }
    frames.push(frame);
}
