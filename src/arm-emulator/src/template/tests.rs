//! Tests of the template language.
use super::*;

struct World;

impl Scope for World {
    fn subscription(&self) -> Value {
        json!({"subscriptionId": "s1", "tenantId": "t1"})
    }

    fn resource_group(&self) -> Value {
        json!({"name": "rg", "location": "eastus"})
    }

    fn reference(&self, id: &str) -> Option<Value> {
        id.ends_with("/known").then(|| json!({"clientId": "c1"}))
    }
}

fn evaluate(text: &str) -> Outcome<Value> {
    let template = json!({
        "parameters": {"kind": {"defaultValue": "hub"}, "list": {"defaultValue": ["a", "b"]}},
        "variables": {"isHub": "[equals(parameters('kind'), 'hub')]"},
    });
    Template::new(&template, &json!({}), &World)?.evaluate(&json!(text))
}

#[test]
fn functions_work_as_those_of_azure() {
    for (text, expected) in [
        ("plain", json!("plain")),
        ("[[literal]", json!("[literal]")),
        ("[concat('a', parameters('kind'), '''s')]", json!("ahub's")),
        ("[if(variables('isHub'), 1, parameters('absent'))]", json!(1)),
        ("[and(not(empty('x')), or(false, equals(1, 1)))]", json!(true)),
        ("[parameters('list')[1]]", json!("b")),
        ("[subscription().tenantId]", json!("t1")),
        ("[reference('/x/known', '2018-11-30').clientId]", json!("c1")),
        ("[json('null')]", Value::Null),
        ("[array(toLower('AB'))]", json!(["ab"])),
        (
            "[resourceId('A.B/cs/ds', 'x', 'y')]",
            json!("/subscriptions/s1/resourceGroups/rg/providers/A.B/cs/x/ds/y"),
        ),
        (
            "[resourceId('s2', 'g2', 'A.B/cs', 'x')]",
            json!("/subscriptions/s2/resourceGroups/g2/providers/A.B/cs/x"),
        ),
        ("[subscriptionResourceId('A.B/cs', 'x')]", json!("/subscriptions/s1/providers/A.B/cs/x")),
    ] {
        assert_eq!(evaluate(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn defaults_build_on_each_other_in_any_order() {
    let template = json!({"parameters": {
        "a": {"defaultValue": "[concat(parameters('b'), '!')]"}, "b": {"defaultValue": "[parameters('c')]"}, "c": {}}});
    let given = json!({"c": {"value": "x"}});
    let made = Template::new(&template, &given, &World).unwrap();
    assert_eq!(made.evaluate(&json!("[parameters('a')]")).unwrap(), json!("x!"));
    assert!(Template::new(&template, &json!({}), &World).is_err());
}

#[test]
fn what_can_t_be_read_is_told() {
    for (text, words) in [
        ("[concat('a']", "is missing"),
        ("[nothing('a')]", "not supported"),
        ("[parameters('absent')]", "not defined"),
        ("['open]", "no end"),
        ("[reference('/x/unknown')]", "not defined in the template"),
        ("[resourceId('A.B/cs', 'x', 'y')]", "needs 1 names"),
    ] {
        let failure = evaluate(text).unwrap_err();
        assert!(failure.message.contains(words), "{text}: {}", failure.message);
    }
    assert!(evaluate(&format!("[{}1{}]", "not(".repeat(200), ")".repeat(200))).is_err());
}
