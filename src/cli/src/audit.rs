//! `audit verify`, `audit export` and `history`: the log of what was decided, and whether it is whole.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use api::{DecisionRecord, Model};
use kube::ResourceExt as _;
use plan::decision::{Anchor, Audit, audit};
use serde::Serialize;

use crate::arguments::{AuditVerb, ExportLogOptions, Global, HistoryOptions, VerifyOptions};
use crate::connect::{self, Cluster};
use crate::failure::{Failure, Outcome};
use crate::objects::{self, Kind};
use crate::output::{self, Mark, Style, one_line};

/// What was found of all logs. Its shape is that of `-o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    is_whole: bool,
    logs: Vec<LogReport>,
    /// Digests that no log has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_heads: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogReport {
    namespace: String,
    model: String,
    chain: String,
    entries: i64,
    head: String,
    is_anchored: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// Runs one of the verbs of the log.
pub(crate) async fn run(global: &Global, verb: &AuditVerb, style: Style) -> Result<Outcome, Failure> {
    match verb {
        AuditVerb::Verify(options) => verify(global, options, style).await,
        AuditVerb::Export(options) => export(global, options).await,
    }
}

async fn verify(global: &Global, options: &VerifyOptions, style: Style) -> Result<Outcome, Failure> {
    let (records, mut anchors) = if let Some(file) = &options.file {
        (read(file)?, BTreeMap::new())
    } else {
        let cluster = connect::connect(global).await?;
        let namespace = scope(&cluster, options.all_namespaces);
        let records = objects::list(&cluster, Kind::DecisionRecord, namespace).await?;
        let models = objects::list(&cluster, Kind::Model, namespace).await?;
        (records, kept(&models))
    };
    let report = report(&records, &mut anchors, &options.heads);
    output::print(&output::document(global.output, &report, |report| report.render(style))?)?;
    Ok(Outcome::from_health(report.is_whole))
}

fn report(
    records: &[DecisionRecord],
    anchors: &mut BTreeMap<String, Vec<Anchor>>,
    heads: &[String],
) -> Report {
    let mut missing_heads = Vec::new();
    for head in heads {
        let found = records.iter().find(|it| it.spec.digest == *head);
        let Some(found) = found else {
            missing_heads.push(head.clone());
            continue;
        };
        let anchor = Anchor { count: found.spec.number, head: head.clone() };
        anchors.entry(found.spec.chain.clone()).or_default().push(anchor);
    }
    let logs: Vec<LogReport> = audit(records, anchors).into_iter().map(LogReport::from).collect();
    let is_whole = missing_heads.is_empty() && logs.iter().all(|it| it.problems.is_empty());
    Report { is_whole, logs, missing_heads }
}

/// Where the statuses of Models say that their logs end.
fn kept(models: &[Model]) -> BTreeMap<String, Vec<Anchor>> {
    let of_model = |model: &Model| {
        let log = model.status.as_ref()?.decisions.as_ref()?;
        Some((model.uid()?, vec![Anchor { count: log.count, head: log.head.clone() }]))
    };
    models.iter().filter_map(of_model).collect()
}

fn read(file: &Path) -> Result<Vec<DecisionRecord>, Failure> {
    let failed = |what: String| Failure::Error(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| failed(format!("line {} is no DecisionRecord: {error}", number + 1)))
        })
        .collect()
}

async fn export(global: &Global, options: &ExportLogOptions) -> Result<Outcome, Failure> {
    let cluster = connect::connect(global).await?;
    let namespace = scope(&cluster, options.all_namespaces);
    let mut records: Vec<DecisionRecord> = objects::list(&cluster, Kind::DecisionRecord, namespace).await?;
    records.sort_by(order);
    let mut text = String::new();
    for mut record in records {
        record.metadata.managed_fields = None;
        let line = serde_json::to_string(&record);
        let line = line.map_err(|error| Failure::Error(format!("failed to print: {error}")))?;
        let _ = writeln!(text, "{line}");
    }
    output::print(&text)?;
    Ok(Outcome::Ok)
}

/// Shows what was decided about a Model.
pub(crate) async fn history(global: &Global, options: &HistoryOptions) -> Result<Outcome, Failure> {
    let cluster = connect::connect(global).await?;
    let namespace = cluster.namespace.clone();
    let mut records: Vec<DecisionRecord> =
        objects::list(&cluster, Kind::DecisionRecord, Some(&namespace)).await?;
    records.retain(|it| it.spec.model == options.model);
    if records.is_empty() {
        let message = format!("namespace {namespace} has no log of decisions about Model {}", options.model);
        return Err(Failure::Error(format!("{message}: it begins with the first ModelPromotion")));
    }
    records.sort_by(order);
    output::print(&output::document(global.output, &records, |records| entries(records))?)?;
    Ok(Outcome::Ok)
}

fn order(one: &DecisionRecord, other: &DecisionRecord) -> std::cmp::Ordering {
    let key = |record: &DecisionRecord| {
        let spec = &record.spec;
        (record.metadata.namespace.clone(), spec.model.clone(), spec.chain.clone(), spec.number)
    };
    key(one).cmp(&key(other))
}

fn entries(records: &[DecisionRecord]) -> String {
    let mut text = String::new();
    for record in records {
        let spec = &record.spec;
        let stage = spec.stage.as_ref().map_or_else(String::new, |it| format!(" stage {it}"));
        let who = if spec.who.is_empty() { String::new() } else { format!(" by {}", one_line(&spec.who)) };
        let _ = writeln!(
            text,
            "{} {:<9} version {} {}{stage}{who}: {}",
            spec.at.0,
            format!("{:?}", spec.decision),
            spec.version,
            spec.promotion,
            one_line(&spec.why)
        );
    }
    text
}

fn scope(cluster: &Cluster, is_everywhere: bool) -> Option<&str> {
    (!is_everywhere).then_some(cluster.namespace.as_str())
}

impl From<Audit> for LogReport {
    fn from(audit: Audit) -> Self {
        let Audit { namespace, model, chain, count, head, is_anchored, problems } = audit;
        Self { namespace, model, chain, entries: count, head, is_anchored, problems }
    }
}

impl Report {
    fn render(&self, style: Style) -> String {
        let mut text = String::new();
        for log in &self.logs {
            let mark = match (log.problems.is_empty(), log.is_anchored) {
                (false, _) => Mark::Bad,
                (true, true) => Mark::Good,
                (true, false) => Mark::Warning,
            };
            let of = if log.model.is_empty() { &log.chain } else { &log.model };
            let _ = writeln!(
                text,
                "{} {}/{of}: {} entries, the last is {}",
                style.mark(mark),
                log.namespace,
                log.entries,
                log.head
            );
            for problem in &log.problems {
                let _ = writeln!(text, "     {}", one_line(problem));
            }
            if !log.is_anchored && log.problems.is_empty() {
                text.push_str("     nothing says where it must end, so entries at its end may be missing: give --head, a digest that was kept\n");
            }
        }
        for head in &self.missing_heads {
            let _ = writeln!(
                text,
                "{} no log has an entry with the digest {head}: it was changed or removed",
                style.mark(Mark::Bad)
            );
        }
        if self.logs.is_empty() && self.missing_heads.is_empty() {
            text.push_str("no decision is on record\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use api::ModelPromotion;
    use plan::Step;
    use plan::decision::missing;
    use serde_json::json;

    use super::*;

    /// The first entries of a log: version 1 was asked for, and staging got and kept it.
    fn records() -> Vec<DecisionRecord> {
        let at = "2026-03-01T08:00:00Z";
        let model = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Model",
            "metadata": {"name": "churn", "namespace": "team", "uid": "6f1a2b3c-0000"}, "spec": {},
        });
        let promotion = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "ModelPromotion",
            "metadata": {"name": "churn-v1", "namespace": "team", "uid": "1", "creationTimestamp": at},
            "spec": {"requester": "rita", "model": {"name": "churn", "version": "1"}, "stages": [{"name": "staging"}]},
            "status": {"stages": [{"name": "staging", "releasedAt": at, "servingSince": at, "doneAt": at}]},
        });
        let model: Model = serde_json::from_value(model).unwrap();
        let promotion: ModelPromotion = serde_json::from_value(promotion).unwrap();
        let steps = missing(&model, &[promotion]).into_iter();
        steps
            .map(|step| if let Step::Record(record) = step { *record } else { unreachable!("{step}") })
            .collect()
    }

    fn style() -> Style {
        Style { colour: false, unicode: false }
    }

    #[test]
    fn a_log_is_read_as_it_was_written_and_held_against_a_digest_that_was_kept() {
        let records = records();
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: Vec<String> = records.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
        std::fs::write(file.path(), lines.join("\n") + "\n").unwrap();
        let found = read(file.path()).unwrap();
        assert_eq!(found, records);
        let head = records[2].spec.digest.clone();
        let told =
            |records: &[DecisionRecord], heads: &[String]| report(records, &mut BTreeMap::new(), heads);
        let whole = told(&found, std::slice::from_ref(&head));
        assert!(whole.is_whole && whole.logs[0].is_anchored);
        assert_eq!(whole.render(style()), format!("ok team/churn: 3 entries, the last is {head}\n"));
        let unproven = told(&found, &[]);
        assert!(unproven.is_whole && !unproven.logs[0].is_anchored);
        assert!(unproven.render(style()).contains("entries at its end may be missing: give --head"));
        let cut = told(&found[..2], &[head]);
        assert!(!cut.is_whole && cut.render(style()).contains("no log has an entry with the digest"));
        let gap = told(&[found[0].clone(), found[2].clone()], &[]);
        assert_eq!(gap.logs[0].problems, ["entry 2 is missing"]);

        std::fs::write(file.path(), "{}\n").unwrap();
        assert!(read(file.path()).unwrap_err().to_string().contains("line 1 is no DecisionRecord"));
    }

    #[test]
    fn entries_say_who_decided_what_and_why() {
        let text = entries(&records());
        assert_eq!(
            text,
            "2026-03-01T08:00:00Z Requested version 1 churn-v1 by rita: version 1 shall go through staging\n\
             2026-03-01T08:00:00Z Released  version 1 churn-v1 stage staging: the stage asks for nothing\n\
             2026-03-01T08:00:00Z Kept      version 1 churn-v1 stage staging: its endpoints answer with it since 2026-03-01T08:00:00Z\n"
        );
    }
}
