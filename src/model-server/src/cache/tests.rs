//! Tests of the cache: hits, damage, room, and fetches at the same time.
use super::*;
use crate::digest::Hasher;

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

struct Case {
    folder: tempfile::TempDir,
    cache: Cache,
}

impl Case {
    fn new(max_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { folder: folder.path().join("cache"), max_bytes };
        Self { folder, cache }
    }

    fn put(&self, bytes: &[u8]) -> Digest {
        let file = self.folder.path().join("artefact");
        std::fs::write(&file, bytes).unwrap();
        self.cache.put(digest(bytes), &file, bytes.len() as u64);
        digest(bytes)
    }

    fn take(&self, digest: Digest) -> Option<Vec<u8>> {
        let target = self.folder.path().join("target");
        self.cache.take(digest, &target, 1000)?;
        Some(std::fs::read(target).unwrap())
    }

    fn age(&self, digest: Digest, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        std::fs::File::open(self.cache.entry(digest)).unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn what_was_put_is_taken() {
    let case = Case::new(1000);
    let known = case.put(b"a model");
    assert_eq!(case.take(known).unwrap(), b"a model");
    assert_eq!(case.take(digest(b"another")), None);
}

#[test]
fn damaged_entry_is_removed_and_never_handed_out() {
    let case = Case::new(1000);
    let known = case.put(b"a model");
    std::fs::write(case.cache.entry(known), b"another").unwrap();
    assert_eq!(case.take(known), None);
    assert!(!case.cache.entry(known).exists());
    assert!(!case.folder.path().join("target").exists());
    case.put(b"a model");
    assert_eq!(case.take(known).unwrap(), b"a model");
}

#[test]
fn least_recently_used_entry_goes_first() {
    let case = Case::new(25);
    let first = case.put(&[1; 10]);
    let second = case.put(&[2; 10]);
    case.age(first, 20);
    case.age(second, 10);
    assert!(case.take(first).is_some());
    let third = case.put(&[3; 10]);
    assert_eq!(
        (case.take(second), case.take(first).is_some(), case.take(third).is_some()),
        (None, true, true)
    );
}

#[test]
fn artefact_larger_than_the_cache_leaves_it_alone() {
    let case = Case::new(25);
    let first = case.put(&[1; 10]);
    let large = case.put(&[2; 30]);
    assert_eq!((case.take(first).is_some(), case.take(large)), (true, None));
}

#[test]
fn folder_is_kept_with_its_files() {
    let case = Case::new(1000);
    let source = case.folder.path().join("folder");
    std::fs::create_dir_all(source.join("data")).unwrap();
    std::fs::write(source.join("MLmodel"), b"flavors").unwrap();
    std::fs::write(source.join("data/model.pkl"), b"pickle").unwrap();
    let copy = case.folder.path().join("copy");
    let (known, bytes) = folder::copy(&source, &copy, 1000).unwrap().finish();
    case.cache.put(known, &source, bytes);
    let target = case.folder.path().join("target");
    assert_eq!(case.cache.take(known, &target, 1000), Some(13));
    assert_eq!(std::fs::read(target.join("data/model.pkl")).unwrap(), b"pickle");
    std::fs::write(case.cache.entry(known).join("data/model.pkl"), b"poison").unwrap();
    assert_eq!(case.cache.take(known, &target, 1000), None);
    assert_eq!(std::fs::read(target.join("data/model.pkl")).unwrap(), b"pickle");
}

#[test]
fn fetches_at_the_same_time_get_whole_artefacts() {
    let case = Case::new(250);
    let bytes: Vec<Vec<u8>> = (0..4).map(|number| vec![number; 100]).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (case, bytes) = (&case, &bytes);
            scope.spawn(move || {
                for round in 0..40 {
                    let wanted = &bytes[(thread + round) % bytes.len()];
                    let target = case.folder.path().join(format!("target-{thread}"));
                    let own = case.folder.path().join(format!("own-{thread}"));
                    std::fs::write(&own, wanted).unwrap();
                    if case.cache.take(digest(wanted), &target, 1000).is_some() {
                        assert_eq!(&std::fs::read(&target).unwrap(), wanted);
                    }
                    case.cache.put(digest(wanted), &own, 100);
                }
            });
        }
    });
    let left: u64 = std::fs::read_dir(case.cache.entries())
        .unwrap()
        .map(|entry| size(&entry.unwrap().path()).unwrap())
        .sum();
    assert!(left <= 400);
}

#[test]
fn folder_that_can_not_be_written_fails_nothing() {
    let case = Case::new(1000);
    std::fs::write(&case.cache.folder, b"a file").unwrap();
    let known = case.put(b"a model");
    assert_eq!(case.take(known), None);
}
