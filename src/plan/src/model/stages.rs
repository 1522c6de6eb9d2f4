//! Which version each stage of a Model runs, by what its promotions say.
use api::ModelPromotion;
use api::model::ModelStage;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The stages after what the promotions have brought and taken back: the last word of each stage holds. What a promotion
/// that is gone has said stays in `old`.
pub fn stages(old: &[ModelStage], promotions: &[ModelPromotion]) -> Vec<ModelStage> {
    let mut stages = old.to_vec();
    let mut words: Vec<(bool, ModelStage)> = promotions.iter().flat_map(words).collect();
    words.sort_by(|(one_back, one), (other_back, other)| {
        (one.since.0, one_back, &one.promotion).cmp(&(other.since.0, other_back, &other.promotion))
    });
    for (_, word) in words {
        match stages.iter_mut().find(|it| it.name == word.name) {
            Some(held) if held.since.0 <= word.since.0 => *held = word,
            Some(_) => {}
            None => stages.push(word),
        }
    }
    stages.sort_by(|one, other| one.name.cmp(&other.name));
    stages
}

/// What one promotion has said: whether it is a way back, and the version.
fn words(promotion: &ModelPromotion) -> Vec<(bool, ModelStage)> {
    let name = promotion.metadata.name.clone().unwrap_or_default();
    let version = &promotion.spec.model.version;
    let said = promotion.status.iter().flat_map(|status| &status.stages).flat_map(|stage| {
        let word = |at: &Option<Time>, is_back: bool, version: Option<&String>| {
            let since = at.clone()?;
            let version = version.cloned();
            Some((is_back, ModelStage { name: stage.name.clone(), version, promotion: name.clone(), since }))
        };
        [
            word(&stage.released_at, false, Some(version)),
            word(&stage.reverted_at, true, stage.former_version.as_ref()),
        ]
    });
    said.flatten().collect()
}
