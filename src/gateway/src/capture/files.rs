//! A batch of exchanges as the files of their endpoints, revisions and hours.
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::frame::{Frame, Record};
use super::growing::{Growing, Spare};
use super::parquet::{self, About};
use super::record::{self, Common, Form, line};
use super::rows::{Direction, Rows, rows};
use super::titles::Titles;
use crate::config::{Capture, Format, Store};
use crate::exchange::Exchange;
use crate::metrics::Captured;
use crate::table::Endpoint;

/// What a batch became.
#[derive(Default)]
pub(super) struct Made {
    /// The files that are still to be written.
    pub(super) files: Vec<File>,
    /// The endpoints of files of this machine, and what became of the records in them.
    pub(super) grown: Vec<(Arc<str>, Growing)>,
    /// The endpoints of exchanges that are in none, and why.
    pub(super) lost: Vec<(Arc<str>, Captured)>,
}

/// A file to be written whole.
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
}

impl File {
    /// Writes it to this machine, at once, so that nobody reads a part of it.
    pub(super) fn keep(&self) -> Result<(), String> {
        let folder = self.path.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder.and_then(|()| whole(&self.path, &self.bytes)).map_err(|error| error.to_string())
    }
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
    /// Lines of a file of this machine, which are written as they come.
    Growing { form: Form, lines: Growing },
    /// Lines of a blob.
    Lines { form: Form, text: String, records: u64 },
    /// Another frame begins when the last one has no room for other columns.
    Frames { about: About, frames: Vec<Frame> },
}

/// The files of a batch. Those that grow are called after the instance, all others have the name of the batch.
pub(super) fn make(exchanges: &[Arc<Exchange>], instance: &str, name: &str, spare: &mut Spare) -> Made {
    let mut batch = Batch {
        instance,
        spare,
        contents: Vec::new(),
        places: BTreeMap::new(),
        known: HashMap::new(),
        titles: Titles::default(),
        common: Common::default(),
    };
    let mut made = Made::default();
    for exchange in exchanges {
        if batch.add(exchange).is_none() {
            made.lost.push((Arc::clone(&exchange.asked.endpoint.key), Captured::Unfit));
        }
    }
    let Batch { contents, places, spare, .. } = batch;
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_unstable_by_key(|(_, content)| *content);
    for ((Place { endpoint, azure, folder, .. }, _), content) in places.into_iter().zip(contents) {
        match content {
            Content::Growing { mut lines, .. } => {
                lines.finish(spare);
                made.grown.push((endpoint, lines));
            }
            Content::Lines { text, records, .. } => {
                let (path, bytes) = (folder.join(format!("{name}.jsonl")), text.into_bytes());
                made.files.push(File { endpoint, azure, path, bytes, records });
            }
            Content::Frames { about, frames } => {
                for (part, frame) in frames.iter().enumerate() {
                    let part = if part == 0 { String::new() } else { format!("-{part}") };
                    let path = folder.join(format!("{name}{part}.parquet"));
                    let records = frame.records.len() as u64;
                    match parquet::file(&about, frame) {
                        Ok(bytes) => {
                            let (endpoint, azure) = (Arc::clone(&endpoint), azure.clone());
                            made.files.push(File { endpoint, azure, path, bytes, records });
                        }
                        Err(error) => {
                            let of = &*endpoint;
                            tracing::error!(endpoint = of, %error, "captures make no file and are lost");
                            made.lost.extend(
                                frame.records.iter().map(|_| (Arc::clone(&endpoint), Captured::Failed)),
                            );
                        }
                    }
                }
            }
        }
    }
    made
}

/// What exchanges have in common when their records belong together: the endpoint as it was, which the batch keeps
/// alive, the place of the revision, and the hour.
type Key = (*const Endpoint, usize, i64);

/// A batch in the making.
struct Batch<'b> {
    instance: &'b str,
    spare: &'b mut Spare,
    contents: Vec<Content>,
    /// The place of each content: an endpoint that changed has not moved.
    places: BTreeMap<Place, usize>,
    /// The contents of inputs and of outputs: to make a place costs more than to make a record.
    known: HashMap<Key, [usize; 2]>,
    titles: Titles<'b>,
    common: Common,
}

impl<'b> Batch<'b> {
    /// Adds the records of an exchange. None when its bodies can't be recorded.
    fn add(&mut self, exchange: &'b Exchange) -> Option<()> {
        // A capture that was chosen has settings.
        let Some(capture) = &exchange.asked.endpoint.route.capture else { return Some(()) };
        let (masks, titles) = (&capture.masks, &mut self.titles);
        let both = [
            rows(exchange.request.whole()?, Direction::Inputs, masks, titles)?,
            rows(exchange.answer.whole()?, Direction::Outputs, masks, titles)?,
        ];
        self.common.set(exchange);
        let contents = self.contents(exchange, capture);
        for (rows, content) in both.iter().zip(contents) {
            match &mut self.contents[content] {
                Content::Growing { form, lines } => lines.push(|text| line(form, &self.common, rows, text)),
                Content::Lines { form, text, records } => {
                    line(form, &self.common, rows, text);
                    *records += 1;
                }
                Content::Frames { frames, .. } => add_rows(exchange, rows, frames),
            }
        }
        Some(())
    }

    /// Where the records of an exchange go.
    fn contents(&mut self, exchange: &Exchange, capture: &Capture) -> [usize; 2] {
        let asked = &exchange.asked;
        let key = (Arc::as_ptr(&asked.endpoint), asked.place, asked.at.as_second().div_euclid(3_600));
        if let Some(contents) = self.known.get(&key) {
            return *contents;
        }
        let both = [Direction::Inputs, Direction::Outputs];
        let contents = both.map(|direction| self.content(exchange, capture, direction));
        self.known.insert(key, contents);
        contents
    }

    fn content(&mut self, exchange: &Exchange, capture: &Capture, direction: Direction) -> usize {
        let (asked, route) = (&exchange.asked, &exchange.asked.endpoint.route);
        let (azure, root) = match &capture.store {
            Store::Folder(folder) => (None, folder.clone()),
            Store::Azure(address) => (Some(address.clone()), PathBuf::new()),
        };
        let hour = asked.at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d/%H");
        let (collection, revision) = (direction.collection(), record::revision(exchange));
        let below = format!("{}/{}/{revision}/{collection}/{hour}", route.namespace, route.name);
        let is_parquet = capture.format == Format::Parquet;
        let (endpoint, is_here, folder) =
            (Arc::clone(&asked.endpoint.key), azure.is_none(), root.join(below));
        let path = folder.join(format!("{}.jsonl", self.instance));
        let place = Place { endpoint, azure, folder, is_parquet };
        *self.places.entry(place).or_insert_with(|| {
            let content = match capture.format {
                Format::JsonLines => {
                    let form = Form::new(exchange, direction);
                    if is_here {
                        Content::Growing { form, lines: Growing::new(path, self.spare) }
                    } else {
                        Content::Lines { form, text: String::new(), records: 0 }
                    }
                }
                Format::Parquet => {
                    let revision = revision.to_owned();
                    let about = About { source: record::source(exchange), kind: direction.event(), revision };
                    Content::Frames { about, frames: vec![Frame::default()] }
                }
            };
            self.contents.push(content);
            self.contents.len() - 1
        })
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
