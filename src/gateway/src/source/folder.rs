//! A folder of JSON files, looked at a few times a second.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::registry::{Change, Registry};

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(100);

type Seen = BTreeMap<String, (Option<SystemTime>, u64)>;

pub(super) async fn run(path: PathBuf, mut registry: Registry) {
    let mut seen: Option<Seen> = None;
    let mut is_away = false;
    loop {
        match list(&path).await {
            Ok(now) if seen.as_ref() != Some(&now) => {
                is_away = false;
                if let Some(documents) = read(&path, &now).await {
                    registry.apply(vec![Change::All(documents)]);
                    seen = Some(now);
                }
            }
            Ok(_) => is_away = false,
            Err(error) if !is_away => {
                is_away = true;
                tracing::warn!(%error, folder = %path.display(), "the routing documents can't be listed; the last ones stay");
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn list(path: &Path) -> std::io::Result<Seen> {
    let mut seen = Seen::new();
    let mut entries = tokio::fs::read_dir(path).await?;
    while let Some(entry) = entries.next_entry().await? {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if Path::new(&name).extension().is_none_or(|ending| ending != "json") || name.starts_with('.') {
            continue;
        }
        // A mounted ConfigMap consists of links: what they point to counts.
        if let Ok(file) = tokio::fs::metadata(entry.path()).await {
            seen.insert(name, (file.modified().ok(), file.len()));
        }
    }
    Ok(seen)
}

/// The documents, unless one vanished meanwhile: then everything is looked at again.
async fn read(path: &Path, seen: &Seen) -> Option<Vec<(String, String)>> {
    let mut documents = Vec::with_capacity(seen.len());
    for name in seen.keys() {
        documents.push((name.clone(), tokio::fs::read_to_string(path.join(name)).await.ok()?));
    }
    Some(documents)
}
