//! The operator on a real API server, without pods: admission, convergence, truth, rights, secrets.
use std::process::ExitCode;

#[path = "control_plane/admission.rs"]
mod admission;
#[path = "control_plane/children.rs"]
mod children;
#[path = "control_plane/fairness.rs"]
mod fairness;
#[path = "control_plane/gateway_api.rs"]
mod gateway_api;
#[path = "control_plane/hygiene.rs"]
mod hygiene;
#[path = "control_plane/keys.rs"]
mod keys;
#[path = "control_plane/policy.rs"]
mod policy;
#[path = "control_plane/promotions.rs"]
mod promotions;
#[path = "control_plane/references.rs"]
mod references;
#[path = "control_plane/rights.rs"]
mod rights;
#[path = "control_plane/rollouts.rs"]
mod rollouts;
#[path = "control_plane/scale.rs"]
mod scale;
#[path = "control_plane/schema.rs"]
mod schema;
#[path = "control_plane/status.rs"]
mod status;
#[path = "control_plane/tenants.rs"]
mod tenants;
#[path = "control_plane/transitions.rs"]
mod transitions;

fn main() -> ExitCode {
    let cases = e2e::cases![
        hygiene::a_silent_watch_is_noticed_within_70_seconds,
        schema::valid_objects_converge_and_invalid_ones_change_nothing,
        rights::every_right_is_used_and_none_is_missing,
        admission::every_rule_refuses_with_its_sentence,
        admission::valid_objects_and_samples_are_accepted,
        children::an_endpoint_gets_its_objects_and_leaves_nothing,
        children::what_is_deleted_by_hand_is_back_within_five_seconds,
        children::what_others_set_survives,
        children::replicas_survive_the_hand_over_to_an_autoscaler_and_back,
        children::objects_of_strangers_are_refused_and_untouched,
        children::a_change_of_a_runtime_reaches_its_endpoints,
        status::conditions_follow_the_deployment,
        status::what_a_person_must_mend_is_stalled_and_heals,
        scale::the_scale_subresource_sets_the_replicas,
        scale::an_autoscaler_of_somebody_else_is_not_fought,
        scale::a_query_of_prometheus_sets_the_replicas,
        scale::columns_show_readiness_and_reason,
        policy::a_missing_right_is_said_and_heals,
        policy::the_server_s_word_to_wait_is_obeyed,
        policy::a_refused_object_is_said,
        transitions::it_does_not_matter_by_which_way_a_spec_is_reached,
        transitions::a_bad_spec_leaves_no_trace_while_the_stable_revision_answers,
        rollouts::a_candidate_goes_forward_on_evidence_and_back_on_worse,
        rollouts::a_rollout_goes_on_where_it_was_after_a_crash,
        rollouts::a_person_steers_a_rollout_by_an_annotation,
        rollouts::keys_are_read_from_the_named_secret_alone,
        keys::keys_are_made_kept_and_told_to_nobody,
        keys::a_crash_at_any_write_makes_no_second_key,
        keys::a_person_s_secret_is_never_written,
        keys::a_missing_right_names_the_chart_s_value,
        rollouts::an_endpoint_that_is_gone_leaves_no_route,
        rollouts::what_bears_our_labels_and_is_not_ours_is_left_alone,
        gateway_api::a_canary_moves_the_route_step_by_step,
        gateway_api::a_blue_green_moves_the_route_at_once,
        gateway_api::a_candidate_is_judged_by_queries_alone,
        gateway_api::the_gateway_s_refusal_is_passed_on,
        gateway_api::a_route_is_restored_and_a_stranger_s_is_left_alone,
        gateway_api::ways_of_requests_are_changed_without_a_gap,
        promotions::nobody_votes_for_another_or_without_the_right,
        promotions::endpoints_follow_a_stage_and_a_failure_takes_it_back,
        hygiene::health_and_metrics_answer_and_the_log_level_changes,
        hygiene::it_stops_within_five_seconds,
        hygiene::secrets_stay_out_of_logs_events_status_and_metrics,
        references::nothing_that_a_tenant_writes_reaches_another_namespace,
        fairness::a_backlog_of_one_namespace_does_not_hold_up_another,
        fairness::what_fails_for_ever_holds_up_nobody_and_is_tried_ever_more_rarely,
        tenants::a_spec_can_t_widen_what_a_pod_may_do,
        tenants::every_pod_is_admitted_where_restricted_is_enforced,
        ; alone
        gateway_api::missing_definitions_are_said_and_noticed_when_they_come,
    ];
    e2e::run("control-plane", cases)
}
