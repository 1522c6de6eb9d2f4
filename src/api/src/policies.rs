//! The ValidatingAdmissionPolicies that prove who asks for a promotion and who votes on it.
//!
//! They need no webhook: the API server evaluates them by itself, whether the operator runs or not.
use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec, Validation,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{GROUP, VERSION};

/// A policy and what puts it into force.
pub type Policy = (ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding);

/// What an expression must find true, and the sentence for whoever it refuses.
struct Rule {
    expression: &'static str,
    /// An expression that gives the sentence.
    sentence: &'static str,
}

/// Who votes, proven by the request itself.
const VOTES: [Rule; 4] = [
    Rule {
        expression: "object.spec.approver == request.userInfo.username",
        sentence: "'approver must be your own name, ' + request.userInfo.username",
    },
    Rule {
        expression: "!has(object.spec.groups) || object.spec.groups.all(it, has(request.userInfo.groups) && it in request.userInfo.groups)",
        sentence: "'groups must be groups of yours; they are: ' + (has(request.userInfo.groups) ? request.userInfo.groups.join(', ') : 'none')",
    },
    Rule {
        expression: "authorizer.group('mlops-operator.dev').resource('modelpromotions').namespace(object.metadata.namespace).name(object.spec.promotion).check('approve').allowed()",
        sentence: "'you may not vote on ModelPromotion ' + object.spec.promotion + ': ask for a role with the verb approve on modelpromotions'",
    },
    Rule {
        expression: "!(object.spec.decision in ['Override', 'Skip']) || authorizer.group('mlops-operator.dev').resource('modelpromotions').namespace(object.metadata.namespace).name(object.spec.promotion).check('override').allowed()",
        sentence: "'you may not ' + object.spec.decision.lowerAscii() + ' on ModelPromotion ' + object.spec.promotion + ': ask for a role with the verb override on modelpromotions'",
    },
];

/// Who withdraws a vote: its voter, or what clears the namespace away.
const WITHDRAWALS: [Rule; 1] = [Rule {
    expression: "oldObject.spec.approver == request.userInfo.username || request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:generic-garbage-collector']",
    sentence: "'only ' + oldObject.spec.approver + ' may withdraw this vote'",
}];

/// Who clears the log of decisions away: nobody but what removes a whole namespace.
const CLEARINGS: [Rule; 1] = [Rule {
    expression: "request.userInfo.username == 'system:serviceaccount:kube-system:namespace-controller'",
    sentence: "'an entry of the log of decisions is not deleted: it would be missing, and kubectl mlops audit verify would say so'",
}];

/// Who asks for a promotion.
const REQUESTS: [Rule; 1] = [Rule {
    expression: "object.spec.requester == request.userInfo.username",
    sentence: "'requester must be your own name, ' + request.userInfo.username",
}];

/// Every policy, under the names that a cluster knows them by.
pub fn policies() -> Vec<Policy> {
    vec![
        policy("votes", "approvals", "CREATE", &VOTES),
        policy("withdrawals", "approvals", "DELETE", &WITHDRAWALS),
        policy("promotions", "modelpromotions", "CREATE", &REQUESTS),
        policy("decisions", "decisionrecords", "DELETE", &CLEARINGS),
    ]
}

fn policy(name: &str, resource: &str, operation: &str, rules: &[Rule]) -> Policy {
    let metadata = ObjectMeta { name: Some(format!("{name}.{GROUP}")), ..ObjectMeta::default() };
    let validations = rules.iter().map(|rule| Validation {
        expression: rule.expression.to_owned(),
        message_expression: Some(rule.sentence.to_owned()),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    });
    let matches = NamedRuleWithOperations {
        api_groups: Some(vec![GROUP.to_owned()]),
        api_versions: Some(vec![VERSION.to_owned()]),
        operations: Some(vec![operation.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        ..NamedRuleWithOperations::default()
    };
    let spec = ValidatingAdmissionPolicySpec {
        // A policy that can't be evaluated lets nothing through.
        failure_policy: Some("Fail".to_owned()),
        match_constraints: Some(MatchResources {
            resource_rules: Some(vec![matches]),
            ..MatchResources::default()
        }),
        validations: Some(validations.collect()),
        ..ValidatingAdmissionPolicySpec::default()
    };
    let binding = ValidatingAdmissionPolicyBindingSpec {
        policy_name: metadata.name.clone(),
        validation_actions: Some(vec!["Deny".to_owned()]),
        ..ValidatingAdmissionPolicyBindingSpec::default()
    };
    (
        ValidatingAdmissionPolicy { metadata: metadata.clone(), spec: Some(spec), status: None },
        ValidatingAdmissionPolicyBinding { metadata, spec: Some(binding) },
    )
}
