//! `promote`: a further version of a model on the way of an earlier one; shown first, then asked, then written.
use std::fmt::Write as _;

use api::model_promotion::{ModelPromotionSpec, PromotedModel, PromotionStage};
use api::{Model, ModelPromotion};
use jiff::Timestamp;
use kube::ResourceExt as _;
use plan::model_promotion::bundle;

use super::report::{differences, parts};
use super::vote::{confirmed, whoami};
use crate::arguments::{Global, PromoteOptions};
use crate::connect;
use crate::failure::{Failure, Outcome};
use crate::objects::{self, Kind};
use crate::output::{self, Style, one_line};

/// Asks for the promotion of a version.
pub(crate) async fn promote(
    global: &Global,
    options: &PromoteOptions,
    style: Style,
) -> Result<Outcome, Failure> {
    let cluster = connect::connect(global).await?;
    let namespace = cluster.namespace.clone();
    let models: Vec<Model> = objects::list(&cluster, Kind::Model, Some(&namespace)).await?;
    let model = objects::find(models, Kind::Model, &options.model, &namespace)?;
    let promotions: Vec<ModelPromotion> =
        objects::list(&cluster, Kind::ModelPromotion, Some(&namespace)).await?;
    let way = way(promotions, options)?;
    let text = shown(&model, &options.version, &way, style)?;
    let me = whoami(&cluster).await?;
    output::print(&text)?;
    if !options.yes && !confirmed(&format!("Promote version {} of {}", options.version, options.model))? {
        output::progress("nothing was written");
        return Ok(Outcome::Unhealthy);
    }
    let name = match &options.name {
        Some(name) => name.clone(),
        None => named(&options.model, &options.version, Timestamp::now()),
    };
    let spec = ModelPromotionSpec {
        requester: me.username.unwrap_or_default(),
        model: PromotedModel { name: options.model.clone(), version: options.version.clone() },
        stages: way.spec.stages,
        supersession: way.spec.supersession,
    };
    objects::create(&cluster, Kind::ModelPromotion, &ModelPromotion::new(&name, spec)).await?;
    output::print(&format!(
        "ModelPromotion {name} is written: kubectl mlops promotion {name} shows how it goes\n"
    ))?;
    Ok(Outcome::Ok)
}

/// The promotion whose stages it takes: the one that was named, or the newest of the model.
fn way(promotions: Vec<ModelPromotion>, options: &PromoteOptions) -> Result<ModelPromotion, Failure> {
    let of_model = promotions.into_iter().filter(|it| it.spec.model.name == options.model);
    let found = match &options.like {
        Some(like) => of_model.into_iter().find(|it| it.name_any() == *like),
        None => of_model.max_by_key(|it| (it.creation_timestamp().map(|it| it.0), it.name_any())),
    };
    found.ok_or_else(|| {
        Failure::Error(match &options.like {
            Some(like) => format!("there is no ModelPromotion {like} of Model {}", options.model),
            None => format!(
                "Model {} has had no promotion whose stages this one could take: write the first one as a manifest, as \
                 config/samples/modelpromotion.yaml does",
                options.model
            ),
        })
    })
}

/// Everything that would be promoted, and what each stage runs now.
fn shown(model: &Model, version: &str, way: &ModelPromotion, style: Style) -> Result<String, Failure> {
    let wanted = model.spec.versions.iter().find(|it| it.version == version).ok_or_else(|| {
        let known: Vec<&str> = model.spec.versions.iter().map(|it| it.version.as_str()).collect();
        Failure::Error(format!(
            "Model {} lists no version {version}; it has {}",
            model.name_any(),
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ))
    })?;
    let wanted = bundle(wanted);
    let title = format!("version {version} of Model {}, like {}", model.name_any(), way.name_any());
    let mut text = format!("{}\n", style.bold(&title));
    for (part, value) in parts(&wanted) {
        let _ = writeln!(text, "   {part:<12} {}", one_line(&value));
    }
    for stage in &way.spec.stages {
        let held = model.status.iter().flat_map(|it| &it.stages).find(|it| it.name == stage.name);
        let held = held.and_then(|it| it.version.as_deref());
        let from = held.map_or_else(|| "no version".to_owned(), |it| format!("version {it}"));
        let _ = writeln!(text, "stage {:<12} runs {from}; {}", stage.name, rules(stage));
        let former = held.and_then(|held| model.spec.versions.iter().find(|it| it.version == held));
        for difference in former.map(|it| differences(&bundle(it), &wanted)).unwrap_or_default() {
            let _ = writeln!(text, "   {difference}");
        }
    }
    Ok(text)
}

/// What a stage asks for, in words.
fn rules(stage: &PromotionStage) -> String {
    let mut rules: Vec<String> =
        stage.checks.iter().map(|it| format!("{:?} check {}", it.mode, it.name)).collect();
    if let Some(approval) = &stage.approval {
        rules.push(format!("{} votes", approval.required));
    }
    if !stage.freeze.is_empty() {
        rules.push(format!("{} freeze windows", stage.freeze.len()));
    }
    rules.extend(stage.soak.iter().map(|it| format!("soaks for {it}")));
    if rules.is_empty() { "asks for nothing".to_owned() } else { rules.join(", ") }
}

/// A name that no earlier promotion has, of at most 63 characters.
fn named(model: &str, version: &str, now: Timestamp) -> String {
    let plain = |text: &str| -> String {
        let letter = |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '-' };
        text.chars().map(letter).collect()
    };
    let end = format!("-{}-{}", plain(version), now.as_second());
    let model = plain(model);
    let model = model.get(..model.len().min(63_usize.saturating_sub(end.len()))).unwrap_or_default();
    format!("{}{end}", model.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn style() -> Style {
        Style { colour: false, unicode: false }
    }

    #[test]
    fn names_are_short_and_plain() {
        let now: Timestamp = "2026-03-01T08:00:00Z".parse().unwrap();
        assert_eq!(named("churn", "1.2_B", now), "churn-1-2-b-1772352000");
        let long = named(&"m".repeat(250), &"9".repeat(30), now);
        assert!(long.len() == 63 && long.starts_with("mmm") && long.ends_with("-1772352000"), "{long}");
    }

    #[test]
    fn everything_is_shown_before_it_is_asked() {
        let version = |number: u32| json!({"version": number.to_string(), "uri": format!("https://models.example/{number}.onnx"), "format": "ONNX"});
        let model = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Model", "metadata": {"name": "churn"},
            "spec": {"versions": [version(1), version(2)]},
            "status": {"stages": [{"name": "production", "version": "1", "promotion": "churn-v1", "since": "2026-03-01T08:00:00Z"}]},
        });
        let way = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "ModelPromotion", "metadata": {"name": "churn-v1"},
            "spec": {"requester": "rita", "model": {"name": "churn", "version": "1"}, "stages": [
                {"name": "staging"},
                {"name": "production", "soak": "30m", "approval": {"required": 2},
                 "checks": [{"name": "bias", "type": "Signature"}]},
            ]},
        });
        let model: Model = serde_json::from_value(model).unwrap();
        let way: ModelPromotion = serde_json::from_value(way).unwrap();
        let text = shown(&model, "2", &way, style()).unwrap();
        for line in [
            "version 2 of Model churn, like churn-v1",
            "stage staging      runs no version; asks for nothing",
            "stage production   runs version 1; Enforce check bias, 2 votes, soaks for 30m",
            "https://models.example/1.onnx",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let unknown = shown(&model, "7", &way, style()).unwrap_err();
        assert_eq!(unknown, Failure::Error("Model churn lists no version 7; it has 1, 2".to_owned()));
    }
}
