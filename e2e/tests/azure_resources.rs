//! Objects with resources in Azure: the operator on a real API server, and Azure as the emulator answers it.
use std::process::ExitCode;

#[path = "azure_resources/faults.rs"]
mod faults;
#[path = "azure_resources/identity.rs"]
mod identity;
#[path = "azure_resources/lifecycle.rs"]
mod lifecycle;
#[path = "azure_resources/operations.rs"]
mod operations;
#[path = "azure_resources/ownership.rs"]
mod ownership;

fn main() -> ExitCode {
    let cases = e2e::cases![
        lifecycle::a_workspace_and_its_data_are_made_changed_and_deleted,
        lifecycle::what_is_changed_in_azure_is_named_and_set_back,
        lifecycle::a_settled_object_is_read_once_per_sync_and_never_written,
        lifecycle::the_mode_plan_tells_every_write_and_makes_none,
        faults::half_of_all_calls_fail_and_everything_gets_ready,
        identity::a_rotated_secret_of_an_object_needs_no_restart,
        identity::while_azure_is_away_the_cluster_is_served_and_ready_stays,
        identity::ids_and_keys_are_exported_and_a_stranger_s_secret_is_kept,
        operations::an_operation_outlives_crashes_and_is_not_started_again,
        operations::an_operation_that_fails_says_why_and_is_tried_again,
        operations::a_forgotten_operation_is_answered_by_the_resource,
        operations::an_object_deleted_while_its_operation_runs_ends_clean,
        ownership::a_resource_of_somebody_else_is_a_conflict_and_stays,
        ownership::two_clusters_never_fight_over_one_resource,
        ownership::nothing_is_deleted_that_must_stay,
        ownership::refusals_of_azure_have_reasons_of_their_own,
        ; alone
        faults::a_fault_at_any_call_leaves_no_trace,
    ];
    e2e::run("azure_resources", cases)
}
