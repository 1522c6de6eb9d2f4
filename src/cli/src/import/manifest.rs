//! The text of an imported manifest, with comments on what it can't say.
use std::fmt::Write as _;

use plan::azure::Refusal;
use plan::import::{Imported, Remaining};

use crate::failure::Failure;
use crate::output::one_line;

/// A manifest, and what is left between it and what exists.
pub(super) struct Manifest {
    pub(super) imported: Imported,
    /// What no manifest can say, each in a line.
    pub(super) remaining: Vec<String>,
}

impl Manifest {
    pub(super) fn new(imported: Imported, proof: Result<Vec<Remaining>, Refusal>) -> Self {
        let mut remaining = imported.notes.clone();
        match proof {
            Ok(found) => remaining.extend(found.iter().flat_map(lines)),
            Err(refusal) => remaining.push(refusal.message),
        }
        Self { imported, remaining }
    }

    /// Whether it says exactly what exists.
    pub(super) fn is_exact(&self) -> bool {
        self.remaining.is_empty()
    }

    pub(super) fn file_name(&self) -> String {
        format!("{}-{}.yaml", self.imported.kind().to_ascii_lowercase(), self.imported.name())
    }

    /// The manifest as YAML.
    pub(super) fn text(&self) -> Result<String, Failure> {
        let mut text = String::new();
        // Writing to a string can't fail.
        for line in &self.remaining {
            let _ = writeln!(text, "# not expressible: {}", one_line(line));
        }
        for (secret, keys) in &self.imported.secrets {
            let _ = writeln!(text, "# fill in the Secret {secret} with the keys {}", keys.join(", "));
        }
        let summary = match self.remaining.len() {
            0 => "# it says what exists, without any difference".to_owned(),
            count => format!("# {count} differences from what exists"),
        };
        let _ = writeln!(text, "{summary}");
        let body = serde_saphyr::to_string(&self.imported.object)
            .map_err(|error| Failure::Error(format!("failed to print: {error}")))?;
        text.push_str(&body);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }
}

fn lines(remaining: &Remaining) -> Vec<String> {
    if remaining.differences.is_empty() {
        return vec![format!("{} does not exist and would be made", remaining.id)];
    }
    let differences = remaining.differences.iter();
    differences
        .map(|it| {
            format!("{} {} is {} and would become {}", remaining.id.name(), it.field, it.actual, it.wanted)
        })
        .collect()
}
