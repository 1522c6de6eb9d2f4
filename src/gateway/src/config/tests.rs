//! Tests of the documents: what is valid, and what is said of what is not.
use super::*;

fn document(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut document = serde_json::json!({
        "namespace": "team", "name": "churn",
        "revisions": [{"name": "a", "address": "127.0.0.1:80", "weight": 1}],
    });
    change(&mut document);
    document.to_string()
}

#[test]
fn smallest_document_is_valid_and_survives_a_round_trip() {
    let route = Route::parse(&document(|_| ())).unwrap();
    assert_eq!(Route::parse(&serde_json::to_string(&route).unwrap()).unwrap(), route);
    assert_eq!(route.key(), "team/churn");
    assert!(route.revisions[0].ready);
}

#[test]
fn whole_document_is_valid_and_survives_a_round_trip() {
    let text = document(|document| {
        document["hosts"] = serde_json::json!(["churn.example.com"]);
        document["auth"] = serde_json::json!({"mode": "Key", "digests": ["ab".repeat(32)]});
        document["mirror"] = serde_json::json!({"revision": "a", "percent": 20});
        document["rateLimit"] = serde_json::json!({"requestsPerSecond": 5, "burst": 10});
        document["capture"] = serde_json::json!({"percent": 100, "store": {"folder": "/capture"}, "masks": ["email"], "format": "Parquet"});
    });
    let route = Route::parse(&text).unwrap();
    assert_eq!(Route::parse(&serde_json::to_string(&route).unwrap()).unwrap(), route);
}

#[test]
fn every_wrong_document_is_refused_with_its_field() {
    let wrong: [(&str, serde_json::Value, &str); 13] = [
        ("/name", serde_json::json!("a/b"), "name `a/b`"),
        ("/namespace", serde_json::json!(".."), "namespace `..`"),
        ("/hosts", serde_json::json!(["A.example.com:80"]), "hosts"),
        ("/revisions/0/address", serde_json::json!("server"), "HOST:PORT"),
        ("/revisions/0/address", serde_json::json!("user@server:80"), "HOST:PORT"),
        ("/revisions/0/scorePath", serde_json::json!("score"), "scorePath"),
        ("/revisions/0/weight", serde_json::json!(-1), "expected u32"),
        ("/auth", serde_json::json!({"mode": "Key", "digests": []}), "one or two digests"),
        ("/auth", serde_json::json!({"mode": "Key", "digests": ["secret"]}), "64 hexadecimal"),
        ("/mirror", serde_json::json!({"revision": "b", "percent": 1}), "none of the revisions"),
        ("/mirror", serde_json::json!({"revision": "a", "percent": 101}), "mirror.percent"),
        ("/timeouts", serde_json::json!({"requestMilliseconds": 0}), "requestMilliseconds"),
        ("/wieghts", serde_json::json!(1), "wieghts"),
    ];
    for (pointer, value, expected) in wrong {
        let text = document(|document| {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[field] = value;
        });
        let message = Route::parse(&text).unwrap_err();
        assert!(message.contains(expected), "{pointer}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn captures_go_to_storage_of_azure_and_to_nobody_else() {
    let with = |address: &str| {
        let capture = serde_json::json!({"percent": 1, "store": {"azure": address}});
        Route::parse(&document(|document| document["capture"] = capture))
    };
    assert!(with("https://acme.blob.core.windows.net/telemetry/churn").is_ok());
    for other in
        ["https://evil.example/telemetry", "https://a@evil.example/x.blob.core.windows.net", "az://telemetry"]
    {
        assert!(with(other).unwrap_err().contains("blob.core.windows.net/CONTAINER"), "{other}");
    }
}

#[test]
fn token_keys_come_over_https() {
    let with = |uri: &str| {
        let auth = serde_json::json!({"mode": "AadToken", "issuer": "i", "audience": "a", "jwksUri": uri});
        Route::parse(&document(|document| document["auth"] = auth))
    };
    assert!(with("https://login.example.com/keys").is_ok());
    assert!(with("http://login.example.com/keys").unwrap_err().contains("https://"));
}
