//! Objects made from the schema by a fixed seed: valid ones converge, invalid ones change nothing.
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::context::{CONVERGES, JSON, conditions, manifest};
use e2e::{Context, in_time, until};
use serde_json::{Value, json};

const OBJECTS: usize = 200;

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

fn valid(dice: &mut Dice) -> Value {
    let format = *dice.pick(&["ONNX", "ONNX", "MLflow", "Triton", "Custom"]);
    let uri = *dice.pick(&[
        "https://models.example/a/model.onnx",
        "http://10.1.2.3:8080/model.onnx?sig=abc",
        "https://[2001:db8::1]:8443/m",
        "https://host",
        "pvc://claim/folder/model.onnx",
        "pvc://claim",
        "pvc://my.claim/a/..b/c",
    ]);
    let mut spec = json!({"model": {"uri": uri, "format": format}});
    if dice.roll(2) == 0 {
        spec["model"]["digest"] = json!(testkit::DIGEST);
    }
    if format != "ONNX" {
        spec["container"] = json!({"image": *dice.pick(&["a", "registry.example:5000/a/b:1"])});
        if dice.roll(2) == 0 {
            spec["container"]["env"] =
                json!([{"name": "A", "value": "1000m"}, {"name": "MODEL_URI", "value": "x"}]);
            spec["container"]["args"] = json!(["--path=$(MODEL_PATH)"]);
        }
        if dice.roll(3) == 0 {
            spec["runtimeRef"] = json!({"name": "container"});
        }
    }
    spec["resources"] = dice
        .pick(&[
            json!({}),
            json!({"requests": {"cpu": "1000m", "memory": "1024Mi"}}),
            json!({"limits": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"}}),
            json!({"requests": {"cpu": "0.1", "ephemeral-storage": "1G"}, "limits": {"cpu": "100m"}}),
        ])
        .clone();
    spec["scaling"] = dice
        .pick(&[
            json!({}),
            json!({"replicas": 3}),
            json!({"maxReplicas": 4}),
            json!({"minReplicas": 2, "maxReplicas": 2, "target": {"cpuUtilization": 50}}),
        ])
        .clone();
    if dice.roll(3) == 0 {
        spec["rollout"] = json!({"strategy": *dice.pick(&["Recreate", "RollingUpdate"]), "progressDeadlineSeconds": 10 + dice.roll(1000)});
    }
    spec
}

/// Breaks a valid spec in one way.
fn broken(dice: &mut Dice) -> Value {
    let mut spec = valid(dice);
    let big = "x".repeat(5000);
    let breaks: [(&str, Value); 20] = [
        ("/model/uri", json!("ftp://a/b")),
        ("/model/uri", json!("https://host:99999/m")),
        ("/model/uri", json!("pvc://a..b/m")),
        ("/model/uri", json!(7)),
        ("/model/uri", json!(big)),
        ("/model/format", json!("onnx")),
        ("/model/digest", json!("sha256:XYZ")),
        ("/model", json!([])),
        ("/runtimeRef", json!({"name": "absent"})),
        ("/runtimeRef", json!({"name": big})),
        ("/resources", json!({"requests": {"cpu": "-1"}})),
        ("/resources", json!({"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "2"}})),
        ("/resources", json!({"limits": {"gpu": "1"}})),
        ("/resources", json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})),
        ("/scaling", json!({"replicas": 1, "minReplicas": 1})),
        ("/scaling", json!({"replicas": 2_147_483_648_i64})),
        ("/scaling", json!({"minReplicas": 9, "maxReplicas": 8})),
        ("/scaling", json!({"maxReplicas": "many"})),
        ("/rollout", json!({"progressDeadlineSeconds": 600, "strategy": null, "speed": 3, "": 1})),
        ("/container", json!({"env": [{"name": "A=B"}]})),
    ];
    let (path, value) = dice.pick(&breaks).clone();
    let fields: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match fields.as_slice() {
        [outer, inner] => spec[*outer][*inner] = value,
        [outer] => spec[*outer] = value,
        _ => {}
    }
    spec
}

/// 200 of each kind.
pub(crate) async fn valid_objects_converge_and_invalid_ones_change_nothing(
    context: &mut Context,
) -> anyhow::Result<()> {
    let operator = context.operator()?;
    operator.ready().await?;
    invalid_ones(context).await?;
    let mut dice = Dice(1);
    for index in 0..OBJECTS {
        context.create(&format!("valid-{index}"), &valid(&mut dice)).await?;
    }
    until("readiness of every valid object", CONVERGES * 3, async || {
        let list = context.get(&context.endpoint("")).await?.unwrap_or_default();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let waiting: Vec<_> = items
            .iter()
            .filter(|it| it["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("valid-")))
            .filter(|it| !conditions(it).contains(&"Ready=True/Ready".to_owned()))
            .collect();
        let first =
            waiting.first().map(|it| format!("{} {}: {}", it["metadata"]["name"], it["spec"], it["status"]));
        // A look at 200 objects is no small thing for the API server.
        tokio::time::sleep(Duration::from_millis(400)).await;
        Ok(first.map_or(Ok(()), |first| Err(format!("{} wait, such as {first}", waiting.len()))))
    })
    .await?;
    let panics = operator.metric("mlops_operator_panics_total{controller=\"endpoint\"}").await?;
    ensure!(panics == 0.0, "{panics} panics");
    Ok(())
}

async fn invalid_ones(context: &Context) -> anyhow::Result<()> {
    let mut dice = Dice(2);
    let (mut refused, mut stalled) = (0, 0);
    for index in 0..OBJECTS {
        let (name, spec) = (format!("invalid-{index}"), broken(&mut dice));
        let path = format!("{}?fieldValidation=Strict", context.endpoint(""));
        let started = Instant::now();
        let (code, answer) = context.ask("POST", &path, JSON, &manifest("Endpoint", &name, &spec)).await?;
        if code >= 400 {
            ensure!(
                code < 500 && !answer["message"].as_str().unwrap_or_default().is_empty(),
                "{code} {answer}"
            );
            refused += 1;
            continue;
        }
        context.says(&name, "Stalled=True").await.map_err(|error| error.context(spec.to_string()))?;
        in_time(&spec.to_string(), started.elapsed(), Duration::from_secs(5))?;
        stalled += 1;
    }
    let made = context.labelled().await?;
    ensure!(made.is_empty(), "invalid objects made {made:?}");
    ensure!(
        refused > OBJECTS / 2 && stalled > 5,
        "{refused} refused, {stalled} stalled: not both ways are tried"
    );
    Ok(())
}
