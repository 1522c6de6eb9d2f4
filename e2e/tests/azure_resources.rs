//! Objects with resources in Azure: the operator on a real API server, and Azure as the emulator answers it. The modules
//! `z1` to `z10` are rows of the list of tests; `cargo xtask faults azure` runs them at full size.
use std::process::ExitCode;

use e2e::Azure;
use e2e::azure::{SUBSCRIPTION, workspace_id};
use serde_json::{Value, json};

#[path = "azure_resources/go_fake.rs"]
mod go_fake;
#[path = "azure_resources/lifecycle.rs"]
mod lifecycle;
#[path = "azure_resources/rollouts.rs"]
mod rollouts;
#[path = "azure_resources/rollouts_measured.rs"]
mod rollouts_measured;
#[path = "azure_resources/samples.rs"]
mod samples;
#[path = "azure_resources/z1.rs"]
mod z1;
#[path = "azure_resources/z10.rs"]
mod z10;
#[path = "azure_resources/z2.rs"]
mod z2;
#[path = "azure_resources/z3.rs"]
mod z3;
#[path = "azure_resources/z4.rs"]
mod z4;
#[path = "azure_resources/z5.rs"]
mod z5;
#[path = "azure_resources/z6.rs"]
mod z6;
#[path = "azure_resources/z7.rs"]
mod z7;
#[path = "azure_resources/z8.rs"]
mod z8;
#[path = "azure_resources/z9.rs"]
mod z9;

fn main() -> ExitCode {
    let cases = e2e::cases![
        samples::every_sample_is_made_in_azure_and_imported_without_a_difference,
        z3::while_azure_is_away_the_cluster_is_served_and_its_return_makes_no_stampede,
        z2::half_of_all_calls_fail_and_everything_gets_ready,
        z4::an_operation_that_fails_says_why_and_is_tried_again,
        z5::without_tokens_it_waits_and_goes_on_when_there_are_some,
        z5::a_rotated_secret_of_an_object_needs_no_restart,
        z5::a_rotated_file_of_a_workload_identity_needs_no_restart,
        z5::a_token_that_ends_during_an_operation_is_replaced,
        z5::clocks_that_differ_make_no_difference,
        z4::an_operation_outlives_crashes_and_is_not_started_again,
        z4::an_operation_of_any_shape_is_followed,
        z4::an_operation_that_is_forgotten_or_never_ends_is_told,
        z4::an_object_deleted_while_its_operation_runs_ends_clean,
        z6::a_resource_of_somebody_else_is_a_conflict_and_stays,
        z6::two_clusters_never_fight_over_one_resource,
        z7::nothing_is_deleted_that_must_stay,
        z7::a_lock_is_told_and_deletion_goes_on_without_it,
        z7::refusals_of_azure_have_reasons_of_their_own,
        z8::what_is_changed_in_azure_is_named_and_set_back,
        z8::what_is_deleted_in_azure_is_made_again,
        z8::who_observes_only_tells_the_difference,
        z9::a_settled_object_is_read_once_per_sync_and_never_written,
        z10::no_answer_lures_a_token_away,
        go_fake::the_core_works_against_go_s_official_fake_server,
        rollouts::a_version_takes_over_step_by_step_through_crashes,
        rollouts::a_version_that_fails_gets_no_request_and_goes,
        rollouts_measured::azure_monitor_tells_which_version_takes_over,
        lifecycle::a_workspace_and_its_data_are_made_changed_and_deleted,
        lifecycle::the_mode_plan_tells_every_write_and_makes_none,
        lifecycle::ids_and_keys_are_exported_and_a_stranger_s_secret_is_kept,
        ; alone
        z1::a_fault_at_any_call_leaves_no_trace,
    ];
    e2e::run("azure_resources", cases)
}

/// Makes a workspace behind the operator's back, with these tags.
async fn by_hand(azure: &Azure, name: &str, tags: &Value) -> anyhow::Result<()> {
    let mut body = json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {}, "tags": tags});
    for (field, type_, it) in [
        ("storageAccount", "Microsoft.Storage/storageAccounts", "e2estorage"),
        ("keyVault", "Microsoft.KeyVault/vaults", "e2evault"),
        ("applicationInsights", "Microsoft.Insights/components", "e2einsights"),
    ] {
        body["properties"][field] =
            json!(format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/ml/providers/{type_}/{it}"));
    }
    let path = format!("{}?api-version=2025-12-01", workspace_id(name));
    azure.ask("PUT", &path, Some(&body)).await
}
