//! The state file: read at the start, written again after every change.
//!
//! Invariant: the file is always whole, since it is written beside its place and then renamed.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::state::State;
use crate::tls::Authority;
use crate::token::Issuer;

/// Changes within this time are written together.
const PAUSE: Duration = Duration::from_millis(50);

/// What outlives a restart beside the resources: clients go on trusting the authority and the tokens.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) authority: Authority,
    pub(crate) tokens: Vec<u8>,
    /// The value that callers of the App Service identity endpoint send.
    pub(crate) identity_header: String,
}

impl Keys {
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let identity_header = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self { authority: Authority::generate()?, tokens: Issuer::generate()?, identity_header })
    }
}

#[derive(Deserialize)]
struct Loaded {
    keys: Keys,
    state: State,
}

#[derive(Serialize)]
struct Saved<'a> {
    keys: &'a Keys,
    state: &'a State,
}

/// The state of a file; a fresh one where there is no file yet.
pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<(Keys, State)> {
    let fresh = || Ok((Keys::generate()?, State::default()));
    let Some(path) = path else { return fresh() };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return fresh(),
        Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
    };
    let mut loaded: Loaded =
        serde_json::from_slice(&text).with_context(|| format!("failed to understand {}", path.display()))?;
    loaded.state.reindex();
    Ok((loaded.keys, loaded.state))
}

/// Writes the state, whole or not at all. The file holds keys: only its owner may read it.
pub(crate) fn save(path: &Path, keys: &Keys, core: &Core) -> anyhow::Result<()> {
    let text = {
        let mut state = core.state();
        state.time = core.clock.now();
        serde_json::to_vec(&Saved { keys, state: &state })?
    };
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(Path::new("."), |folder| folder);
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&text)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

/// Writes the state whenever it has changed, until the task is dropped.
pub(crate) async fn keep(path: PathBuf, keys: Keys, core: Arc<Core>) {
    loop {
        if core.take_dirty() {
            let (path, keys, core) = (path.clone(), keys.clone(), Arc::clone(&core));
            let saved = tokio::task::spawn_blocking(move || save(&path, &keys, &core)).await;
            if let Ok(Err(error)) = saved {
                eprintln!("failed to write the state: {error:#}");
            }
            tokio::time::sleep(PAUSE).await;
        } else {
            core.written.notified().await;
        }
    }
}
