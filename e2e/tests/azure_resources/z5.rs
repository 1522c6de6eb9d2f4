//! Row Z5: tokens that end early or come late, proofs that are rotated, clocks that differ, tenants that are wrong.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use arm_emulator::{Action, CLIENT, Client, Emulator, Entry, Fault, TENANT};
use e2e::azure::{Fleet, WORKSPACE, seconds, sized, workspace_id, workspace_spec};
use e2e::context::message;
use e2e::operator::Options;
use e2e::{Azure, Context, Operator, PATIENCE, holds_for, until};
use futures::future::try_join_all;
use k8s_openapi::{ByteString, jiff};
use serde_json::{Value, json};

const OTHER: &str = "c11e0000-0000-4000-8000-000000000002";

/// How an operator proves who it is.
#[derive(Clone, Copy, Debug)]
enum Proof {
    ClientSecret,
    ManagedIdentity,
    WorkloadIdentity,
}

const PROOFS: [Proof; 3] = [Proof::ClientSecret, Proof::ManagedIdentity, Proof::WorkloadIdentity];

/// A service account token that is good for some seconds.
fn write_token(file: &Path, lifetime: i64) -> anyhow::Result<()> {
    // The alphabet for addresses, without padding.
    let part = |value: &Value| {
        let text = json!(ByteString(value.to_string().into_bytes()));
        text.as_str().unwrap_or_default().trim_end_matches('=').replace('+', "-").replace('/', "_")
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let expires = i64::try_from(now.as_secs())? + lifetime;
    let text =
        format!("{}.{}.{}", part(&json!({"alg": "RS256"})), part(&json!({"exp": expires})), "signature");
    // As the kubelet does it: the file is never half written.
    let other = file.with_extension("new");
    std::fs::write(&other, text)?;
    Ok(std::fs::rename(other, file)?)
}

fn token_file(context: &Context) -> PathBuf {
    context.plane.folder().join(format!("{}-token", context.namespace))
}

/// An operator that proves itself in this way.
fn operator(
    context: &Context,
    azure: &Azure,
    mut options: Options,
    proof: Proof,
) -> anyhow::Result<Operator> {
    let file = token_file(context).display().to_string();
    let further: Vec<(&str, &str)> = match proof {
        Proof::ClientSecret => return Operator::start(options),
        Proof::WorkloadIdentity => vec![("AZURE_CLIENT_ID", CLIENT), ("AZURE_FEDERATED_TOKEN_FILE", &file)],
        Proof::ManagedIdentity => vec![("IDENTITY_HEADER", azure.emulator.identity_header())],
    };
    options
        .environment
        .retain(|(name, _)| !["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"].contains(&name.as_str()));
    options.environment.extend(further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    if matches!(proof, Proof::ManagedIdentity) {
        let endpoint = format!("{}/msi/token", azure.emulator.url());
        options.environment.push(("IDENTITY_ENDPOINT".to_owned(), endpoint));
    }
    Operator::start(options)
}

fn names(count: u32) -> Vec<String> {
    (0..count).map(|number| format!("ws-{number}")).collect()
}

/// The requests for a token that got one.
fn given(azure: &Azure) -> Vec<Entry> {
    azure.tokens(0).into_iter().filter(|entry| entry.status == Some(200)).collect()
}

/// Whoever is not refused asks for one token in a minute at most, and never for two at a time.
fn one_token_a_minute(azure: &Azure) -> anyhow::Result<()> {
    let times: Vec<i64> = given(azure).iter().map(|entry| entry.time).collect();
    let soon = times.windows(2).find(|pair| pair[1] - pair[0] < 55_000);
    ensure!(soon.is_none(), "tokens were asked for too often: {times:?}");
    Ok(())
}

async fn secret(context: &Context, name: &str, tenant: &str, secret: &str) -> anyhow::Result<()> {
    let body = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "stringData": {"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": OTHER, "AZURE_CLIENT_SECRET": secret},
    });
    let path = format!("/api/v1/namespaces/{}/secrets/{name}?fieldManager=e2e&force=true", context.namespace);
    context.must("PATCH", &path, e2e::context::APPLY, &body).await.map(drop)
}

pub(crate) async fn a_rotated_secret_of_an_object_needs_no_restart(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    azure.emulator.set_client(Client::new(OTHER, "first-secret"));
    secret(context, "team", TENANT, "first-secret").await?;
    let mut operator = azure.operator(context).await?;
    let names = names(sized(3, 10));
    let fleet = Fleet::make(context, WORKSPACE, &names, |_| {
        let mut spec = workspace_spec();
        spec["azure"] = json!({"credentialsRef": {"name": "team"}});
        spec
    })
    .await?;
    fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    let principal = Client::new(OTHER, "first-secret").object;
    ensure!(azure.writes(0).iter().all(|call| call.principal == principal), "another identity wrote");
    // The old secret is gone in Azure first: tokens that are good stay good, so a new one is asked for by a change.
    azure.emulator.set_client(Client::new(OTHER, "second-secret"));
    secret(context, "team", TENANT, "second-secret").await?;
    fleet.merge(&json!({"spec": {"description": "after the rotation"}})).await?;
    let rotated = Instant::now();
    until("the descriptions", PATIENCE, async || {
        let body = |name: &String| azure.emulator.resource(&workspace_id(name)).unwrap_or_default();
        let is_old = |name: &&String| body(name)["properties"]["description"] != "after the rotation";
        let old = names.iter().filter(is_old).count();
        Ok(if old == 0 { Ok(()) } else { Err(format!("{old} are old")) })
    })
    .await?;
    context.tell(format!(
        "a secret rotated under {} objects: {:.1} s",
        names.len(),
        rotated.elapsed().as_secs_f64()
    ));
    let tokens = azure.tokens(0).len();
    ensure!(tokens == 2, "{tokens} tokens were asked for with two secrets");
    wrong_identities(context).await?;
    let told = operator.log()
        + &context.events().await?.join("\n")
        + &fleet.objects().await?.iter().map(ToString::to_string).collect::<String>();
    ensure!(!told.contains("second-secret"), "the secret was told");
    operator.check_alive()
}

/// A tenant that does not exist, and a Secret that does not.
async fn wrong_identities(context: &Context) -> anyhow::Result<()> {
    secret(context, "wrong", "11111111-0000-4000-8000-000000000000", "second-secret").await?;
    for (name, credentials) in [("astray", "wrong"), ("lonely", "absent")] {
        let mut spec = workspace_spec();
        spec["azure"] = json!({"credentialsRef": {"name": credentials}});
        context.make("MLWorkspace", "mlworkspaces", name, &spec).await?;
    }
    let astray =
        context.object_says(&context.own("mlworkspaces", "astray"), "Stalled=True/WrongTenant").await?;
    ensure!(message(&astray, "Ready").contains("AADSTS90002"), "{}", message(&astray, "Ready"));
    context.object_says(&context.own("mlworkspaces", "lonely"), "Stalled=True/SecretNotFound").await.map(drop)
}

/// The service account token is expired when the operator starts; the file is renewed, then renewed again and again.
pub(crate) async fn a_rotated_file_of_a_workload_identity_needs_no_restart(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    // The shortest that the operator believes: it renews its token every minute.
    azure.emulator.set_token_lifetime(120);
    write_token(&token_file(context), -5)?;
    let mut operator = operator(context, &azure, azure.options(context)?, Proof::WorkloadIdentity)?;
    let fleet = Fleet::make(context, WORKSPACE, &names(sized(3, 10)), |_| workspace_spec()).await?;
    let refused = fleet.all_say("Stalled=True/AuthenticationFailed", Duration::from_secs(30)).await?;
    for object in &refused {
        ensure!(message(object, "Ready").contains("AADSTS700024"), "{}", message(object, "Ready"));
    }
    write_token(&token_file(context), 20)?;
    let rotated = Instant::now();
    fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    context.tell(format!(
        "a file renewed under {} objects: {:.1} s",
        refused.len(),
        rotated.elapsed().as_secs_f64()
    ));
    // Each token of the file ends long before the operator asks again: an old one that was kept would be refused.
    let mut renewed = Instant::now();
    holds_for(seconds(1, 190), async || {
        if renewed.elapsed() > Duration::from_secs(10) {
            write_token(&token_file(context), 20)?;
            renewed = Instant::now();
        }
        let failed =
            fleet.objects().await?.iter().filter(|it| !e2e::azure::says(it, "Ready=True/Ready")).count();
        Ok(if failed == 0 { Ok(()) } else { Err(format!("{failed} are not ready")) })
    })
    .await?;
    let given = self::given(&azure).len();
    ensure!(given >= sized(1, 3), "{given} tokens were given");
    context.tell(format!("{given} tokens given, {} refused", azure.tokens(0).len() - given));
    one_token_a_minute(&azure)?;
    operator.check_alive()
}

/// Clocks that differ by five minutes, either way, with every kind of identity.
pub(crate) async fn clocks_that_differ_make_no_difference(context: &mut Context) -> anyhow::Result<()> {
    for skew in [300, -300] {
        for proof in PROOFS {
            let azure = Azure::start(context).await?;
            azure.emulator.set_clock_skew(skew);
            write_token(&token_file(context), 3600)?;
            // A date is by the clock of whoever writes it.
            let later = std::time::SystemTime::now() + Duration::from_secs(2);
            let moment = jiff::Timestamp::try_from(later)? + jiff::SignedDuration::from_secs(skew);
            let date = moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let headers = [("Retry-After".to_owned(), date)].into();
            azure.fault(Fault::new(
                "PUT",
                "/workspaces/",
                Action::Answer { status: 429, body: None, headers },
            ))?;
            let mut operator = operator(context, &azure, azure.options(context)?, proof)?;
            let name = format!("skew-{}-{}", skew.unsigned_abs() + u64::from(skew < 0), proof as u8);
            context.make("MLWorkspace", "mlworkspaces", &name, &workspace_spec()).await?;
            let path = context.own("mlworkspaces", &name);
            context.object_says(&path, "Ready=True/Ready").await?;
            one_token_a_minute(&azure)?;
            let refused = azure.calls(0).iter().filter(|call| call.status == Some(401)).count();
            ensure!(refused == 0, "{refused} calls had no good token");
            context.delete(&path).await?;
            context.gone(&path).await?;
            operator.check_alive()?;
        }
    }
    context.tell("6 pairs of clock and identity: no call without a good token".to_owned());
    Ok(())
}

/// A token that ends in the middle of an operation is replaced, and the operation goes on.
pub(crate) async fn a_token_that_ends_during_an_operation_is_replaced(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start_with(context, Emulator::builder().operation_duration(9000)).await?;
    azure.emulator.set_token_lifetime(4);
    let mut operator = azure.operator(context).await?;
    let names = names(sized(3, 10));
    let fleet = Fleet::make(context, WORKSPACE, &names, |_| workspace_spec()).await?;
    fleet.all_say("Reconciling=True/InProgress", Duration::from_secs(20)).await?;
    azure.emulator.set_token_lifetime(3600);
    let objects = fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    let refused = azure.calls(0).iter().filter(|call| call.status == Some(401)).count();
    let tokens = azure.tokens(0).len();
    context.tell(format!("{} operations: {refused} calls refused, {tokens} tokens in all", objects.len()));
    ensure!(refused > 0, "no token ended");
    ensure!(tokens == 2, "{tokens} tokens were asked for");
    for name in &names {
        ensure!(azure.puts(name) == 1, "{name} was put {} times", azure.puts(name));
    }
    operator.check_alive()
}

/// Whoever gives tokens is down when the operator starts.
pub(crate) async fn without_tokens_it_waits_and_goes_on_when_there_are_some(
    context: &mut Context,
) -> anyhow::Result<()> {
    write_token(&token_file(context), 3600)?;
    let context = &*context;
    let proofs = sized(&PROOFS[..1], &PROOFS[..]);
    try_join_all(proofs.iter().map(|proof| without_tokens(context, *proof))).await.map(drop)
}

async fn without_tokens(context: &Context, proof: Proof) -> anyhow::Result<()> {
    let place = context.place(&format!("proof-{}", proof as u8)).await?;
    let azure = Azure::start(context).await?;
    let answer = Action::Answer { status: 503, body: None, headers: [].into() };
    let down = azure.fault(Fault::every("/token$", answer))?;
    let mut operator = operator(context, &azure, azure.options_in(context, &place)?, proof)?;
    let fleet = Fleet::make(&place, WORKSPACE, &names(sized(1, 10)), |_| workspace_spec()).await?;
    let began = Instant::now();
    for object in fleet.all_say("Ready=False/AzureUnreachable", Duration::from_secs(20)).await? {
        ensure!(message(&object, "Ready").contains("token"), "{}", message(&object, "Ready"));
    }
    holds_for(seconds(8, 600).saturating_sub(began.elapsed()), async || {
        Ok(operator.check_alive().map_err(|error| error.to_string()))
    })
    .await?;
    azure.emulator.faults().remove(down);
    let (returned, down) = (Instant::now(), began.elapsed().as_secs_f64());
    fleet.all_say("Ready=True/Ready", Duration::from_mins(4)).await?;
    let (asked, back) = (azure.tokens(0).len(), returned.elapsed().as_secs_f64());
    context.tell(format!(
        "no tokens for {down:.0} s, {proof:?}: {asked} requests for one, {} objects ready {back:.0} s after the return",
        fleet.names.len()
    ));
    // The first two failures are followed sooner than after a minute.
    ensure!(asked as f64 <= 4.0 + (down + back) / 60.0, "{asked} requests for a token");
    operator.check_alive()
}
