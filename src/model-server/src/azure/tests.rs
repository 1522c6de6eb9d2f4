//! Tests of Azure's addresses and credentials, without a network.
use std::collections::HashMap;

use super::*;
use crate::source::Source;

fn blob(uri: &str) -> Blob {
    match Source::parse(uri, None) {
        Ok(Source::Blob(blob)) => *blob,
        other => panic!("{uri} is no blob: {other:?}"),
    }
}

fn settings(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    Settings::of(|name| variables.get(name).map(|value| (*value).to_owned()))
}

#[test]
fn blobs_are_recognised_by_their_scheme_and_by_the_hosts_of_every_cloud() {
    let cases = [
        ("az://models/churn/1/model.onnx", None, None, "churn/1/model.onnx"),
        (
            "abfss://models@account.dfs.core.windows.net/churn/model.onnx",
            Some("account"),
            Some("https://account.blob.core.windows.net/"),
            "churn/model.onnx",
        ),
        (
            "https://account.blob.core.windows.net/models/a%20b.onnx",
            Some("account"),
            Some("https://account.blob.core.windows.net/"),
            "a b.onnx",
        ),
        (
            "https://account.dfs.core.chinacloudapi.cn/models/a.onnx",
            Some("account"),
            Some("https://account.blob.core.chinacloudapi.cn/"),
            "a.onnx",
        ),
        (
            "https://account.blob.core.usgovcloudapi.net/models/a.onnx",
            Some("account"),
            Some("https://account.blob.core.usgovcloudapi.net/"),
            "a.onnx",
        ),
        (
            "https://account.z01.blob.storage.azure.net/models/a.onnx",
            Some("account.z01"),
            Some("https://account.z01.blob.storage.azure.net/"),
            "a.onnx",
        ),
    ];
    for (uri, account, endpoint, path) in cases {
        let blob = blob(uri);
        assert_eq!((blob.account.as_deref(), blob.container.as_str()), (account, "models"), "{uri}");
        assert_eq!(blob.endpoint.as_ref().map(Url::as_str), endpoint, "{uri}");
        assert_eq!(
            (blob.path.as_ref().replace("%20", " "), blob.is_folder),
            (path.to_owned(), false),
            "{uri}"
        );
    }
}

#[test]
fn slash_at_the_end_and_a_container_alone_are_folders() {
    for uri in
        ["az://models/churn/", "az://models", "az://models/", "https://account.blob.core.windows.net/models"]
    {
        assert!(blob(uri).is_folder, "{uri}");
    }
}

#[test]
fn signed_addresses_and_other_hosts_stay_plain() {
    for uri in [
        "https://account.blob.core.windows.net/models/a.onnx?sv=1&sig=s",
        "http://account.blob.core.windows.net/models/a.onnx",
        "https://account.blob.core.windows.net.evil.example/models/a.onnx",
        "https://evilcore.windows.net/models/a.onnx",
        "https://blob.core.windows.net/models/a.onnx",
        "https://account.queue.core.windows.net/models/a.onnx",
    ] {
        assert!(matches!(Source::parse(uri, None), Ok(Source::Remote(_))), "{uri}");
    }
}

#[test]
fn address_below_the_endpoint_is_a_blob() {
    let endpoint = Url::parse("http://127.0.0.1:10000/store").unwrap();
    let parse = |uri: &str| Source::parse(uri, Some(&endpoint)).unwrap();
    let Source::Blob(blob) = parse("http://127.0.0.1:10000/store/models/a.onnx") else { panic!("no blob") };
    assert_eq!((blob.container.as_str(), blob.path.as_ref()), ("models", "a.onnx"));
    for uri in ["http://127.0.0.1:10001/store/models/a.onnx", "http://127.0.0.1:10000/storemodels/a.onnx"] {
        assert!(matches!(parse(uri), Source::Remote(_)), "{uri}");
    }
}

/// The parser of addresses resolves such parts, in every spelling.
#[test]
fn path_stays_in_its_container() {
    for uri in
        ["az://models/%2e%2e/a/../../b.onnx", "https://account.blob.core.windows.net/models/../models/b.onnx"]
    {
        let blob = blob(uri);
        assert_eq!((blob.container.as_str(), blob.path.as_ref()), ("models", "b.onnx"), "{uri}");
    }
}

#[test]
fn malformed_blobs_are_refused_with_the_form_to_use() {
    let cases = [
        ("az://user@models/a", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("az://Models/a", "no container"),
        ("az:///a", "no container"),
        ("az://models/a?sig=s3cret", "remove"),
        ("az://models:80/a", "remove"),
        ("abfss://account.dfs.core.windows.net/a", "no container"),
        ("abfss://models@account.example.com/a", "abfss://CONTAINER@ACCOUNT"),
        ("abfss://models:s3cret@account.dfs.core.windows.net/a", "remove"),
    ];
    for (uri, words) in cases {
        let message = Source::parse(uri, None).unwrap_err();
        assert!(message.contains(words) && !message.contains("s3cret"), "{uri}: {message}");
    }
}

#[test]
fn strongest_credential_of_the_environment_is_taken() {
    let client = [("AZURE_CLIENT_ID", "s3cret")];
    let file = ("AZURE_FEDERATED_TOKEN_FILE", "s3cret");
    let [tenant, secret] = [("AZURE_TENANT_ID", "s3cret"), ("AZURE_CLIENT_SECRET", "s3cret")];
    let [key, signature] = [("AZURE_STORAGE_ACCOUNT_KEY", "s3cret"), ("AZURE_STORAGE_SAS_TOKEN", "s3cret")];
    let cases: [(&str, &[(&str, &str)]); 9] = [
        ("the account key", &[key, signature, client[0], tenant, file, secret]),
        ("the shared access signature", &[signature, client[0], tenant, file, secret]),
        ("the workload identity", &[client[0], tenant, file, secret]),
        ("the client secret", &[client[0], tenant, secret]),
        ("the managed identity", &[client[0], tenant]),
        ("the managed identity", &client),
        ("the managed identity", &[("AZURE_USE_MANAGED_IDENTITY", "true")]),
        ("no credentials", &[("AZURE_STORAGE_ACCOUNT_KEY", " ")]),
        ("no credentials", &[tenant]),
    ];
    for (kind, variables) in cases {
        let settings = settings(variables).unwrap();
        assert_eq!(settings.credential.kind(), kind, "{variables:?}");
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}

#[test]
fn wrong_variables_say_which() {
    let wrong = [
        ("AZURE_STORAGE_ACCOUNT_NAME", "evil.example/"),
        ("AZURE_STORAGE_ENDPOINT", "ftp://host"),
        ("AZURE_STORAGE_ENDPOINT", "https://host?sig=a"),
        ("AZURE_STORAGE_ENDPOINT", "https://me:secret@host"),
    ];
    for (name, value) in wrong {
        let message = settings(&[(name, value)]).unwrap_err();
        assert!(message.contains(name) && !message.contains("secret"), "{message}");
    }
}
