//! Specs of Endpoints on this cluster, of every kind, each from a number: the same number gives the same spec.
use serde_json::{Value, json};

use crate::DIGEST;

/// Where specs are used, as far as they depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The namespace of the Endpoint.
    pub namespace: &'a str,
    /// The domain of the gateway's host names.
    pub domain: &'a str,
    /// The beginning of the addresses where captures may go.
    pub captures: &'a str,
}

/// Numbers that look random and follow from the first.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }

    /// Whether something happens that does so in one of `times`.
    fn is_one_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }
}

/// A valid spec with the model of that version: any strategy, scaling, proof of callers, routing and capture.
pub fn spec(number: u64, version: u64, place: &Place) -> Value {
    let mut dice = Dice(number);
    let mut model =
        json!({"uri": format!("https://models.example/churn/{version}/model.onnx"), "format": "ONNX"});
    if dice.is_one_in(3) {
        model["digest"] = json!(DIGEST);
    }
    let mut spec = json!({"model": model, "scaling": scaling(&mut dice), "rollout": rollout(&mut dice)});
    if dice.is_one_in(3) {
        spec["resources"] = json!({"requests": {"cpu": "500m", "memory": "512Mi"}});
    }
    match dice.roll(4) {
        0 => spec["auth"] = json!({"mode": "Key", "secretRef": {"name": "churn-keys"}}),
        1 => spec["auth"] = json!({"mode": "None"}),
        2 => {
            let token = json!({"issuer": "https://login.example/t/v2.0", "audience": "api",
                "jwksUri": "https://login.example/keys", "role": "score"});
            spec["auth"] = json!({"mode": "AadToken", "token": token});
        }
        _ => {}
    }
    if dice.is_one_in(2) {
        spec["routing"] = routing(&mut dice, place);
    }
    if dice.is_one_in(3) {
        let uri = format!("{}/{}", place.captures, dice.roll(3));
        spec["capture"] =
            json!({"samplingPercent": 10 * (1 + dice.roll(10)), "store": {"uri": uri}, "mask": ["age"]});
    }
    spec
}

fn scaling(dice: &mut Dice) -> Value {
    let (least, more) = (1 + dice.roll(3), dice.roll(3));
    match dice.roll(4) {
        0 => json!({}),
        1 => json!({"minReplicas": least, "maxReplicas": least + more, "target": {"cpuUtilization": 60}}),
        2 => json!({"minReplicas": least, "maxReplicas": least + more, "target": {"concurrency": 4}}),
        _ => json!({"replicas": least}),
    }
}

fn routing(dice: &mut Dice, place: &Place) -> Value {
    let mut routing = json!({"queueTimeoutSeconds": 5 + dice.roll(3)});
    if dice.is_one_in(2) {
        routing["hosts"] = json!([format!("churn-{}.{}.{}", dice.roll(3), place.namespace, place.domain)]);
    }
    if dice.is_one_in(2) {
        routing["stickyHeader"] = json!("X-User");
    }
    if dice.is_one_in(2) {
        routing["rateLimit"] = json!({"requestsPerSecond": 50, "burst": 20});
    }
    routing
}

fn rollout(dice: &mut Dice) -> Value {
    let strategy = ["RollingUpdate", "Recreate", "BlueGreen", "Canary", "Canary"][dice.roll(5) as usize];
    let mut rollout = json!({"strategy": strategy, "progressDeadlineSeconds": 300 + dice.roll(2)});
    let mut steps = Vec::new();
    if strategy == "Canary" || (strategy == "BlueGreen" && dice.is_one_in(2)) {
        steps.push(json!({"mirror": 20, "hold": "1s"}));
    }
    if strategy == "Canary" {
        steps.push(json!({"traffic": 10 + dice.roll(20), "hold": "1s"}));
        if dice.is_one_in(3) {
            steps.push(json!({"hold": "2s"}));
        }
        steps.push(json!({"traffic": 50, "hold": "1s"}));
    }
    if !steps.is_empty() {
        rollout["steps"] = json!(steps);
        if dice.is_one_in(2) {
            rollout["analysis"] =
                json!({"minRequests": 50, "maxErrorRate": 0.05, "maxPredictionDisagreement": 0.2});
        }
        rollout["revisionHistoryLimit"] = json!(dice.roll(3));
        rollout["scaleDownDelaySeconds"] = json!(5 + dice.roll(3));
    }
    rollout
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_comes_up_and_a_number_gives_the_same_spec() {
        let place =
            Place { namespace: "team", domain: "models.example", captures: "https://a.example/captures" };
        let specs: Vec<Value> = (0..100).map(|number| spec(number, 1, &place)).collect();
        assert_eq!(specs[7], spec(7, 1, &place));
        let of = |pointer: &str| -> BTreeSet<String> {
            specs.iter().filter_map(|spec| Some(spec.pointer(pointer)?.to_string())).collect()
        };
        assert_eq!(of("/rollout/strategy").len(), 4);
        assert_eq!(of("/auth/mode").len(), 3);
        assert!(of("/scaling/target").len() == 2 && of("/scaling/replicas").len() == 3);
        assert!(of("/routing").len() > 10 && of("/capture").len() > 5 && of("/rollout/analysis").len() == 1);
    }
}
