//! A file of this machine that grows by parts, so that not all lines of a batch have to be in memory at once.
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So many bytes are written at once: enough to be worth the system calls, and few enough to stay in a processor's cache.
pub(super) const PART: usize = 64 * 1024;
/// What a text keeps of its memory once it is written.
const KEPT: usize = 2 * PART;
/// The most texts and the most files that are kept for the next batch.
const SPARE: usize = 16;
/// For how long a file stays open: somebody may move it away.
const OPEN: Duration = Duration::from_secs(1);

/// Memory for texts, and files, kept from one batch to the next.
#[derive(Debug, Default)]
pub(super) struct Spare {
    texts: Vec<String>,
    files: HashMap<PathBuf, Opened>,
}

impl Spare {
    fn give(&mut self, path: PathBuf, text: String, file: Option<Opened>) {
        if self.texts.len() < SPARE {
            self.texts.push(text);
        }
        let Some(file) = file.filter(Opened::is_fresh) else { return };
        if self.files.len() >= SPARE {
            self.files.clear();
        }
        self.files.insert(path, file);
    }
}

/// A file, and since when it is open.
#[derive(Debug)]
struct Opened(File, Instant);

impl Opened {
    fn is_fresh(&self) -> bool {
        self.1.elapsed() < OPEN
    }
}

/// Lines, and what became of those before them.
#[derive(Debug)]
pub(super) struct Growing {
    path: PathBuf,
    file: Option<Opened>,
    text: String,
    records: u64,
    /// How many records were written.
    pub(super) written: u64,
    /// How many were not.
    pub(super) failed: u64,
    /// Why the last of them was not.
    pub(super) error: Option<String>,
}

impl Growing {
    /// Lines for a file.
    pub(super) fn new(path: PathBuf, spare: &mut Spare) -> Self {
        let file = spare.files.remove(&path).filter(Opened::is_fresh);
        let text = spare.texts.pop().unwrap_or_default();
        Self { path, file, text, records: 0, written: 0, failed: 0, error: None }
    }

    /// Adds a record, and writes when there is enough.
    pub(super) fn push(&mut self, line: impl FnOnce(&mut String)) {
        line(&mut self.text);
        self.records += 1;
        if self.text.len() >= PART {
            self.write();
        }
    }

    /// Writes what is left, and gives the memory and the file back.
    pub(super) fn finish(&mut self, spare: &mut Spare) {
        if self.records > 0 {
            self.write();
        }
        spare.give(std::mem::take(&mut self.path), std::mem::take(&mut self.text), self.file.take());
    }

    /// A part that can't be written is lost alone: the next one may find what this one missed.
    fn write(&mut self) {
        let records = std::mem::take(&mut self.records);
        match self.append() {
            Ok(()) => self.written += records,
            Err(error) => {
                self.file = None;
                self.failed += records;
                self.error = Some(error.to_string());
            }
        }
        self.text.clear();
        self.text.shrink_to(KEPT);
    }

    fn append(&mut self) -> Result<()> {
        let Opened(file, _) = match &mut self.file {
            Some(opened) => opened,
            none => none.insert(Opened(open(&self.path)?, Instant::now())),
        };
        let before = file.metadata()?.len();
        let written = file.write_all(self.text.as_bytes());
        if written.is_err() {
            // Half a line would spoil the next one.
            let _ = file.set_len(before);
        }
        written
    }
}

/// Opens a file, whose folder is new once an hour.
fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            options.open(path)
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many lines, of which three make more than a part.
    fn push(growing: &mut Growing, lines: usize) {
        for _ in 0..lines {
            growing.push(|text| text.extend(std::iter::repeat_n('x', PART / 3).chain(['\n'])));
        }
    }

    #[test]
    fn records_of_a_part_that_can_not_be_written_are_lost_and_all_others_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let (blocked, path) = (folder.path().join("v1"), folder.path().join("v1/00/one.jsonl"));
        let mut spare = Spare::default();
        let mut growing = Growing::new(path.clone(), &mut spare);
        push(&mut growing, 3);
        assert_eq!((growing.written, growing.failed), (3, 0));
        // Nobody has it open any more.
        growing.file = None;
        std::fs::rename(&blocked, folder.path().join("moved")).unwrap();
        std::fs::write(&blocked, "").unwrap();
        push(&mut growing, 4);
        assert_eq!((growing.written, growing.failed), (3, 3));
        assert!(growing.error.is_some());
        std::fs::remove_file(&blocked).unwrap();
        push(&mut growing, 4);
        assert_eq!((growing.written, growing.failed), (6, 3));
        growing.finish(&mut spare);
        assert_eq!((growing.written, growing.failed), (8, 3));
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(&folder.path().join("moved/00/one.jsonl")), lines(&path)), (3, 5));
    }

    #[test]
    fn memory_is_kept_but_not_that_of_a_huge_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut spare = Spare::default();
        let mut growing = Growing::new(folder.path().join("one.jsonl"), &mut spare);
        growing.push(|text| text.extend(std::iter::repeat_n('x', 9 * PART)));
        push(&mut growing, 1);
        growing.finish(&mut spare);
        assert_eq!((growing.written, growing.failed), (2, 0));
        let kept = spare.texts.pop().unwrap();
        assert!(kept.is_empty() && (PART / 3..=KEPT).contains(&kept.capacity()));
        for _ in 0..2 * SPARE {
            spare.give(PathBuf::new(), String::new(), None);
        }
        assert_eq!(spare.texts.len(), SPARE);
    }

    #[test]
    fn files_stay_open_from_one_batch_to_the_next_and_not_for_long() {
        let (folder, mut spare) = (tempfile::tempdir().unwrap(), Spare::default());
        let path = |file: usize| folder.path().join(format!("{file}.jsonl"));
        let write = |file: usize, spare: &mut Spare| {
            let mut growing = Growing::new(path(file), spare);
            push(&mut growing, 1);
            growing.finish(spare);
            assert_eq!((growing.written, growing.failed), (1, 0));
        };
        for file in (0..SPARE).chain([0, 1]) {
            write(file, &mut spare);
        }
        assert_eq!(spare.files.len(), SPARE);
        write(SPARE, &mut spare);
        assert_eq!(spare.files.len(), 1);
        let lines = |file: usize| std::fs::read_to_string(path(file)).unwrap().lines().count();
        assert_eq!([lines(0), lines(1), lines(2), lines(SPARE)], [2, 2, 1, 1]);

        let opened = spare.files.get_mut(&path(SPARE)).unwrap();
        opened.1 = opened.1.checked_sub(OPEN).unwrap();
        std::fs::rename(path(SPARE), path(SPARE + 1)).unwrap();
        write(SPARE, &mut spare);
        assert_eq!([lines(SPARE), lines(SPARE + 1)], [1, 1]);
    }
}
