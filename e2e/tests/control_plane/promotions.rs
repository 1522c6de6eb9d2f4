//! Promotions on a real API server: who may vote, which votes count, and Endpoints that follow a stage.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use api::DecisionRecord;
use api::decision_record::Decision;
use e2e::context::{CONVERGES, JSON, MERGE, ask, conditions, manifest, message};

use e2e::{Context, Mode, Operator, until};
use kube::Client;
use plan::decision::{Anchor, audit};
use serde_json::{Value, json};
use xtask::tools::{self, Module};

/// A Model that is known to this cluster alone, with the versions 1 to 3.
async fn model(context: &Context) -> anyhow::Result<()> {
    let version = |number: u32| json!({"version": number.to_string(), "uri": format!("https://models.example/churn/{number}/model.onnx"), "format": "ONNX"});
    let spec = json!({"versions": (1..=3).map(version).collect::<Vec<_>>()});
    context.must("POST", &context.own("models", ""), JSON, &manifest("Model", "churn", &spec)).await?;
    context.object_says(&context.own("models", "churn"), "Ready=True/Accepted").await.map(drop)
}

/// Somebody with a client certificate.
struct Person {
    name: String,
    client: Client,
}

impl Person {
    /// A person who may do so much in the case's namespace: verbs by resource.
    async fn new(
        context: &Context,
        name: &str,
        groups: &[&str],
        may: &[(&str, &[&str])],
    ) -> anyhow::Result<Self> {
        let name = format!("{name}-{}", context.namespace);
        let rules: Vec<Value> = may
            .iter()
            .map(|(resource, verbs)| json!({"apiGroups": ["mlops-operator.dev"], "resources": [resource], "verbs": verbs}))
            .collect();
        let root = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", context.namespace);
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules});
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
        });
        context.must("POST", &format!("{root}/roles"), JSON, &role).await?;
        context.must("POST", &format!("{root}/rolebindings"), JSON, &binding).await?;
        let client = e2e::plane::client(&context.plane.user(&name, groups)?).await?;
        Ok(Self { name, client })
    }

    /// A voter: the right to write votes, and the verb `approve`.
    async fn voter(context: &Context, name: &str, groups: &[&str]) -> anyhow::Result<Self> {
        let votes: (&str, &[&str]) = ("approvals", &["create", "get", "delete", "patch"]);
        Self::new(context, name, groups, &[votes, ("modelpromotions", &["get", "approve"])]).await
    }

    async fn ask(&self, method: &str, path: &str, kind: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        ask(&self.client, method, path, kind, body).await
    }

    /// Makes an object, and waits until a right that was granted just now is known.
    async fn makes(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        until(&format!("{} making {path}", self.name), CONVERGES, async || {
            let (code, answer) = self.ask("POST", path, JSON, body).await?;
            Ok(if code == 201 { Ok(answer) } else { Err(format!("{code} {}", answer["message"])) })
        })
        .await
    }

    /// Is refused with a sentence.
    async fn is_refused(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &Value,
        sentence: &str,
    ) -> anyhow::Result<()> {
        until(&format!("a refusal: {sentence}"), CONVERGES, async || {
            let (code, answer) = self.ask(method, path, kind, body).await?;
            ensure!(code >= 400, "{} may {method} {path}: {code}", self.name);
            let said = answer["message"].as_str().unwrap_or_default().to_owned();
            Ok(if said.contains(sentence) { Ok(()) } else { Err(format!("{code} {said}")) })
        })
        .await
    }
}

fn promotion(requester: &Person, version: &str, stages: &Value) -> Value {
    json!({"requester": requester.name, "model": {"name": "churn", "version": version}, "stages": stages})
}

fn vote(person: &Person, evidence: &Value, decision: &str, promotion: &str) -> Value {
    json!({
        "promotion": promotion, "stage": "production", "evidence": evidence, "decision": decision,
        "reason": "I have looked at it", "approver": person.name,
    })
}

/// The evidence that a promotion asks people to vote on.
async fn evidence(context: &Context, promotion: &str) -> anyhow::Result<Value> {
    let path = context.own("modelpromotions", promotion);
    let found = context.object_says(&path, "ApprovalRequired=True/ApprovalRequired").await?;
    let stages = found["status"]["stages"].as_array().context("no stage has begun")?;
    let stage = stages.iter().find(|it| it["name"] == "production").context("the stage has not begun")?;
    Ok(stage["evidence"].clone())
}

async fn runs(context: &Context, stage: &str) -> anyhow::Result<Value> {
    let model = context.get(&context.own("models", "churn")).await?.unwrap_or_default();
    let mut stages = model["status"]["stages"].as_array().into_iter().flatten();
    Ok(stages.find(|it| it["name"] == stage).map(|it| it["version"].clone()).unwrap_or_default())
}

/// Those who have to do with a guarded stage: Rita asks, Paul and Olga vote, Otto lacks the right.
struct Cast {
    rita: Person,
    paul: Person,
    olga: Person,
    otto: Person,
    /// The promotion that Rita wants.
    wanted: Value,
    approvals: String,
}

impl Cast {
    async fn new(context: &Context) -> anyhow::Result<Self> {
        let asks: (&str, &[&str]) = ("modelpromotions", &["create", "get", "patch", "approve"]);
        let votes: (&str, &[&str]) = ("approvals", &["create", "get", "delete", "patch"]);
        let rita = Person::new(context, "rita", &[], &[asks, votes]).await?;
        let olga = Person::voter(context, "olga", &[]).await?;
        let stages = json!([
            {"name": "production", "approval": {"required": 2, "groups": ["owners"], "requiredVoters": [olga.name]}},
        ]);
        Ok(Self {
            paul: Person::voter(context, "paul", &["owners"]).await?,
            otto: Person::new(context, "otto", &[], &[votes]).await?,
            wanted: promotion(&rita, "1", &stages),
            approvals: context.own("approvals", ""),
            rita,
            olga,
        })
    }

    /// What admission does not let in.
    async fn are_refused(&self, context: &Context, seen: &Value) -> anyhow::Result<()> {
        let Self { rita, paul, olga, otto, approvals, .. } = self;
        let vote_with = |person: &Person, field: &str, value: Value| {
            let mut spec = vote(person, seen, "Approve", "churn-v1");
            spec[field] = value;
            manifest("Approval", "refused", &spec)
        };
        let own = format!("approver must be your own name, {}", paul.name);
        for (person, field, value, sentence) in [
            (paul, "approver", json!(olga.name), own.as_str()),
            (olga, "groups", json!(["owners"]), "groups must be groups of yours"),
            (otto, "reason", json!("because"), "you may not vote on ModelPromotion churn-v1"),
        ] {
            person.is_refused("POST", approvals, JSON, &vote_with(person, field, value), sentence).await?;
        }
        let stage = json!({"name": "production", "releasedAt": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {"phase": "Succeeded", "stages": [stage]}});
        let path = context.own("modelpromotions", "churn-v1");
        let sentence = "cannot patch resource \"modelpromotions/status\"";
        rita.is_refused("PATCH", &format!("{path}/status"), MERGE, &status, sentence).await?;
        let other = json!({"spec": {"model": {"version": "2"}}});
        rita.is_refused("PATCH", &path, MERGE, &other, "a promotion can't be changed once it exists").await
    }

    /// What may be written and does not count.
    async fn do_not_count(&self, context: &Context, seen: &Value) -> anyhow::Result<()> {
        let stale = json!(format!("sha256:{}", "0".repeat(64)));
        for (name, person, evidence, why) in [
            ("by-rita", &self.rita, seen, "who asks for a promotion can't vote on it"),
            ("stale", &self.olga, &stale, "look again, and vote again"),
            ("for-nobody", &self.paul, seen, "none of the groups that may vote: owners"),
        ] {
            let spec = vote(person, evidence, "Approve", "churn-v1");
            person.makes(&self.approvals, &manifest("Approval", name, &spec)).await?;
            until(&format!("the word that {name} does not count"), CONVERGES, async || {
                let vote = context.get(&context.own("approvals", name)).await?.unwrap_or_default();
                let is_void = conditions(&vote).contains(&"Ready=False/Void".to_owned());
                let fits = is_void && message(&vote, "Ready").contains(why);
                Ok(if fits { Ok(()) } else { Err(vote["status"].to_string()) })
            })
            .await?;
        }
        ensure!(runs(context, "production").await?.is_null(), "the stage has a version");
        Ok(())
    }
}

/// Row S8: none of these gets the version into the stage.
pub(crate) async fn nobody_votes_for_another_or_without_the_right(
    context: &mut Context,
) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    model(context).await?;
    let cast = Cast::new(context).await?;
    let Cast { rita, paul, olga, otto, approvals, .. } = &cast;
    let promotions = context.own("modelpromotions", "");
    let mut forged = cast.wanted.clone();
    forged["requester"] = json!(paul.name);
    let forged = manifest("ModelPromotion", "forged", &forged);
    let sentence = format!("requester must be your own name, {}", rita.name);
    rita.is_refused("POST", &promotions, JSON, &forged, &sentence).await?;
    rita.makes(&promotions, &manifest("ModelPromotion", "churn-v1", &cast.wanted)).await?;
    let seen = evidence(context, "churn-v1").await?;
    cast.are_refused(context, &seen).await?;
    cast.do_not_count(context, &seen).await?;

    // What counts can't be changed, and nobody else takes it back.
    let mut good = vote(paul, &seen, "Approve", "churn-v1");
    good["groups"] = json!(["owners"]);
    paul.makes(approvals, &manifest("Approval", "by-paul", &good)).await?;
    let by_paul = context.own("approvals", "by-paul");
    context.object_says(&by_paul, "Ready=True/Counted").await?;
    let turned = json!({"spec": {"decision": "Reject"}});
    paul.is_refused("PATCH", &by_paul, MERGE, &turned, "a vote can't be changed").await?;
    let sentence = format!("only {} may withdraw this vote", paul.name);
    otto.is_refused("DELETE", &by_paul, JSON, &Value::Null, &sentence).await?;
    let promotion = context.get(&context.own("modelpromotions", "churn-v1")).await?.unwrap_or_default();
    let said = message(&promotion, "ApprovalRequired");
    ensure!(said.contains(&format!("1 of 2 votes, among them must be {}", olga.name)), "{said}");
    ensure!(runs(context, "production").await?.is_null(), "the stage has a version");
    let spec = vote(olga, &seen, "Approve", "churn-v1");
    olga.makes(approvals, &manifest("Approval", "by-olga", &spec)).await?;
    context.object_says(&context.own("modelpromotions", "churn-v1"), "Ready=True/Succeeded").await?;
    ensure!(runs(context, "production").await? == "1", "the stage has not got the version");
    Ok(())
}

/// Through staging and votes to production; a version that can't start goes back by itself, and says why.
pub(crate) async fn endpoints_follow_a_stage_and_a_failure_takes_it_back(
    context: &mut Context,
) -> anyhow::Result<()> {
    let operator = context.operator()?;
    model(context).await?;
    let votes: (&str, &[&str]) = ("modelpromotions", &["create", "get"]);
    let rita = Person::new(context, "rita", &[], &[votes]).await?;
    let paul = Person::voter(context, "paul", &[]).await?;
    for (name, stage) in [("churn-staging", "staging"), ("churn", "production")] {
        let spec = json!({"model": {"modelRef": {"name": "churn", "stage": stage}, "format": "ONNX"}});
        context.create(name, &spec).await?;
        let waits = context.says(name, "Ready=False/DependencyNotReady").await?;
        let said = message(&waits, "Ready");
        ensure!(said.contains(&format!("no version of Model churn has come to stage {stage} yet")), "{said}");
    }
    let stages = json!([
        {"name": "staging", "endpointRefs": [{"name": "churn-staging"}], "soak": "1s"},
        {"name": "production", "endpointRefs": [{"name": "churn"}], "approval": {"required": 1}},
    ]);
    let promotions = context.own("modelpromotions", "");
    for version in ["1", "2"] {
        let name = format!("churn-v{version}");
        rita.makes(&promotions, &manifest("ModelPromotion", &name, &promotion(&rita, version, &stages)))
            .await?;
        let seen = evidence(context, &name).await?;
        ensure!(runs(context, "staging").await? == version, "staging comes first");
        let made = manifest("Approval", &name, &vote(&paul, &seen, "Approve", &name));
        paul.makes(&context.own("approvals", ""), &made).await?;
        context.object_says(&context.own("modelpromotions", &name), "Ready=True/Succeeded").await?;
        let endpoint = context.says("churn", "Ready=True/Ready").await?;
        let source = &endpoint["status"]["resolvedModel"]["source"];
        ensure!(*source == format!("models/churn/versions/{version}"), "{source}");
        ensure!(endpoint["spec"]["model"]["modelRef"]["stage"] == "production", "nobody writes the spec");
    }
    // It goes on where it was, whatever is killed.
    drop(operator);
    rita.makes(&promotions, &manifest("ModelPromotion", "churn-v3", &promotion(&rita, "3", &stages))).await?;
    let _operator = Operator::start(context.options()?)?;
    let seen = evidence(context, "churn-v3").await?;
    let suspended = context.get(&context.own("modelpromotions", "churn-v3")).await?.unwrap_or_default();
    let first = context.get(&context.own("modelpromotions", "churn-v1")).await?.unwrap_or_default();
    context.stand_in.set(Mode::Late);
    let made = manifest("Approval", "churn-v3", &vote(&paul, &seen, "Approve", "churn-v3"));
    paul.makes(&context.own("approvals", ""), &made).await?;
    let failed =
        context.object_says(&context.own("modelpromotions", "churn-v3"), "Ready=False/StageFailed").await?;
    let said = message(&failed, "Ready");
    ensure!(said.starts_with("stage production went back to version 2: Endpoint churn: "), "{said}");
    ensure!(conditions(&failed).contains(&"Stalled=True/StageFailed".to_owned()), "{failed}");
    let waiting = context.get(&context.endpoint("churn-staging")).await?.unwrap_or_default();
    let unseen = json!({"kind": "Model", "metadata": {"generation": 2}, "status": {"observedGeneration": 1}});
    let objects = [suspended, failed, first, waiting, unseen];
    let expected = ["Suspended", "Degraded", "Healthy", "Healthy", "Progressing"];
    is_seen_by_argo_cd(&objects, &expected)?;
    context.stand_in.set(Mode::Ready);
    version_2_is_back(context).await?;
    let events = context.events().await?;
    for reason in ["Releasing", "Soaking", "ApprovalRequired", "Succeeded", "StageFailed"] {
        ensure!(events.iter().any(|event| event.contains(&format!("\"{reason}\""))), "{reason}: {events:?}");
    }
    is_on_record(context, &paul).await
}

async fn version_2_is_back(context: &Context) -> anyhow::Result<()> {
    until("version 2 in production", CONVERGES, async || {
        let endpoint = context.get(&context.endpoint("churn")).await?.unwrap_or_default();
        let source = endpoint["status"]["resolvedModel"]["source"].clone();
        let ready = conditions(&endpoint).contains(&"Ready=True/Ready".to_owned());
        let runs = runs(context, "production").await?;
        let fits = ready && source == "models/churn/versions/2" && runs == "2";
        Ok(if fits { Ok(()) } else { Err(format!("{source} {runs} {:?}", conditions(&endpoint))) })
    })
    .await
}

/// What the health script makes of objects, in the Lua that Argo CD runs it in.
fn is_seen_by_argo_cd(objects: &[Value], expected: &[&str]) -> anyhow::Result<()> {
    let tools = tools::ensure_only(&[Module::ArgoHealth])?;
    let mut command = Command::new(tools.argo_health());
    command.arg(xtask::cache::repository().join("config/argocd/health.lua"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(&serde_json::to_vec(objects)?)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}", output.status);
    let found: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let statuses: Vec<&str> = found.iter().filter_map(|it| it["status"].as_str()).collect();
    ensure!(statuses == expected, "{found:?}");
    ensure!(found.iter().all(|it| it["message"].as_str().is_some_and(|it| !it.is_empty())), "{found:?}");
    Ok(())
}

/// Every decision about the three versions is on record once, whatever was killed meanwhile, and nobody takes one back.
async fn is_on_record(context: &Context, paul: &Person) -> anyhow::Result<()> {
    let entries = context.own("decisionrecords", "");
    let records = until("18 entries of the log", CONVERGES, async || {
        let list = context.get(&entries).await?.context("no list")?;
        let records: Vec<DecisionRecord> = serde_json::from_value(list["items"].clone())?;
        let model = context.get(&context.own("models", "churn")).await?.unwrap_or_default();
        let log = &model["status"]["decisions"];
        let anchor = Anchor {
            count: log["count"].as_i64().unwrap_or_default(),
            head: log["head"].as_str().unwrap_or_default().to_owned(),
        };
        let uid = model["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let found = audit(&records, &BTreeMap::from([(uid, vec![anchor])]));
        let is_whole =
            matches!(&found[..], [log] if log.count == 18 && log.is_anchored && log.problems.is_empty());
        Ok(if is_whole && records.len() == 18 { Ok(records) } else { Err(format!("{found:?}")) })
    })
    .await?;
    let of_paul =
        records.iter().filter(|it| it.spec.decision == Decision::Released && it.spec.who == paul.name);
    ensure!(of_paul.count() == 3, "Paul let three versions go to production: {records:?}");
    let first = records.first().context("no entry")?;
    let one = context.own("decisionrecords", first.metadata.name.as_deref().unwrap_or_default());
    let forged = manifest("DecisionRecord", "churn-forged-000019", &serde_json::to_value(&first.spec)?);
    paul.is_refused("POST", &entries, JSON, &forged, "cannot create resource \"decisionrecords\"").await?;
    // Not even an administrator changes or deletes one.
    let changed = context.ask("PATCH", &one, MERGE, &json!({"spec": {"why": "because"}})).await?;
    ensure!(changed.0 == 422 && changed.1.to_string().contains("can't be changed"), "{changed:?}");
    let deleted = context.ask("DELETE", &one, JSON, &Value::Null).await?;
    ensure!(deleted.0 == 403 && deleted.1.to_string().contains("it would be missing"), "{deleted:?}");
    Ok(())
}
