//! Which settings make which credential and which cloud.
use super::*;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const SECRET: [(&str, &str); 3] =
    [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "s\n")];

const FEDERATED: [(&str, &str); 3] = [
    ("AZURE_TENANT_ID", "t"),
    ("AZURE_CLIENT_ID", "c"),
    ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/azure-identity-token"),
];

fn secret_source() -> CredentialSource {
    CredentialSource::ClientSecret {
        tenant_id: "t".to_owned(),
        client_id: "c".to_owned(),
        client_secret: "s".into(),
    }
}

fn federated_source() -> CredentialSource {
    CredentialSource::WorkloadIdentity {
        tenant_id: "t".to_owned(),
        client_id: "c".to_owned(),
        token_file: FEDERATED[2].1.into(),
    }
}

fn managed_source(client_id: Option<&str>) -> CredentialSource {
    CredentialSource::ManagedIdentity { client_id: client_id.map(str::to_owned) }
}

#[test]
fn an_environment_makes_the_credential_it_is_set_up_for() {
    let with = |base: &[(&'static str, &'static str)], more: &[(&'static str, &'static str)]| {
        credential_from_environment(&settings(&[base, more].concat())).unwrap()
    };
    let kind = |kind| [("AZURE_TOKEN_CREDENTIALS", kind)];
    assert_eq!(with(&[], &[]), None);
    assert_eq!(with(&SECRET, &[]), Some(secret_source()));
    assert_eq!(with(&FEDERATED, &[]), Some(federated_source()));
    assert_eq!(with(&[("AZURE_CLIENT_ID", "c")], &[]), Some(managed_source(Some("c"))));
    assert_eq!(with(&[("IDENTITY_ENDPOINT", "http://127.0.0.1/token")], &[]), Some(managed_source(None)));
    assert_eq!(with(&[], &kind("ManagedIdentityCredential")), Some(managed_source(None)));
    let cli = CredentialSource::AzureCli { tenant_id: None };
    assert_eq!(with(&[], &kind("dev")), Some(cli));
    assert_eq!(
        with(&SECRET, &FEDERATED[2..]),
        Some(CredentialSource::Chain(vec![secret_source(), federated_source()]))
    );
    let chosen = [&FEDERATED[2..], &kind("workloadidentitycredential")].concat();
    assert_eq!(with(&SECRET, &chosen), Some(federated_source()));
}

#[test]
fn what_is_missing_or_misspelt_is_named() {
    let error = credential_from_environment(&settings(&SECRET[1..])).unwrap_err();
    assert!(error.0.starts_with("AZURE_TENANT_ID is missing"), "{error}");
    let error = credential_from_environment(&settings(&[("AZURE_TOKEN_CREDENTIALS", "magic")])).unwrap_err();
    assert!(error.0.contains("`magic`"), "{error}");
}

#[test]
fn a_secret_holds_a_client_secret_or_names_a_workload_identity() {
    let from = |secret: &[(&str, &str)], environment: &[(&str, &str)]| {
        credential_from_secret(&settings(secret), &settings(environment), &Cloud::AzurePublic)
    };
    assert_eq!(from(&SECRET, &[]), Ok(secret_source()));
    assert_eq!(from(&[("AZURE_CLIENT_ID", "c")], &FEDERATED), Ok(federated_source()));
    let known = [("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/")];
    assert_eq!(from(&[&SECRET[..], &known].concat(), &[]), Ok(secret_source()));
    let error = from(&[("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t")], &[]).unwrap_err();
    assert!(error.0.starts_with("AZURE_CLIENT_SECRET is missing"), "{error}");
}

#[test]
fn a_secret_can_t_name_a_file_or_another_authority() {
    let bad =
        [("AZURE_FEDERATED_TOKEN_FILE", "/etc/passwd"), ("AZURE_AUTHORITY_HOST", "https://evil.example")];
    for setting in bad {
        let secret = settings(&[&FEDERATED[..2], &[setting]].concat());
        let error = credential_from_secret(&secret, &settings(&FEDERATED), &Cloud::AzurePublic).unwrap_err();
        assert!(error.0.contains(setting.0), "{error}");
    }
}

#[test]
fn the_cloud_is_named_known_by_its_authority_or_given() {
    let cloud = |pairs: &[(&str, &str)]| cloud_from_environment(&settings(pairs));
    assert_eq!(cloud(&[]), Ok(Cloud::AzurePublic));
    assert_eq!(cloud(&[("AZURE_ENVIRONMENT", "AzureChinaCloud")]), Ok(Cloud::AzureChina));
    let government = ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/");
    assert_eq!(cloud(&[government]), Ok(Cloud::AzureGovernment));
    assert!(cloud(&[("AZURE_AUTHORITY_HOST", "https://login.local")]).is_err());
    assert!(cloud(&[("AZURE_ENVIRONMENT", "Mars")]).is_err());
    let own = [
        ("AZURE_AUTHORITY_HOST", "https://login.local/"),
        ("AZURE_RESOURCE_MANAGER_ENDPOINT", "https://arm.local"),
    ];
    let Ok(Cloud::Custom(endpoints)) = cloud(&own) else { panic!("a cloud of its own") };
    assert_eq!(endpoints.authority, "https://login.local");
    assert_eq!(
        (endpoints.resource_manager.as_str(), endpoints.audience.as_str()),
        ("https://arm.local", "https://arm.local")
    );
}

#[test]
fn nothing_secret_is_shown() {
    let mut shown = format!("{:?}", secret_source());
    shown.push_str(&secret_source().principal());
    assert!(!shown.contains("\"s\"") && shown.contains("Secret(…)"), "{shown}");
}
