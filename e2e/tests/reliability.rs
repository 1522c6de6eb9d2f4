//! Faults between the operator and the API server: crashes, late watches, conflicts, outages, lost leaders.
use std::process::ExitCode;

#[path = "reliability/conflicts.rs"]
mod conflicts;
#[path = "reliability/crashes.rs"]
mod crashes;
#[path = "reliability/deletion.rs"]
mod deletion;
#[path = "reliability/idle.rs"]
mod idle;
#[path = "reliability/leaders.rs"]
mod leaders;
#[path = "reliability/outages.rs"]
mod outages;
#[path = "reliability/staleness.rs"]
mod staleness;

fn main() -> ExitCode {
    let cases = e2e::cases![
        crashes::a_crash_at_any_write_of_a_creation_leaves_no_trace,
        crashes::a_crash_at_any_write_of_a_new_model_leaves_no_trace,
        crashes::a_crash_at_any_write_of_a_scaling_leaves_no_trace,
        crashes::a_crash_at_any_write_of_a_deletion_leaves_no_trace,
        idle::nothing_is_written_while_nothing_changes,
        leaders::a_partitioned_leader_stops_writing_and_another_takes_over,
        leaders::a_killed_leader_is_replaced_within_17_seconds,
        leaders::a_leader_that_stops_hands_over_within_three_seconds,
        staleness::a_late_watch_causes_no_further_writes,
        conflicts::a_storm_of_conflicts_loses_no_foreign_field,
        deletion::an_endpoint_deleted_in_any_state_leaves_nothing,
        deletion::an_endpoint_deleted_during_a_restart_leaves_nothing,
        deletion::a_deleted_namespace_ends_without_errors,
        ; alone
        outages::an_api_server_that_was_killed_is_met_again,
    ];
    e2e::run("reliability", cases)
}
