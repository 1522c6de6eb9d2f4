//! The endpoints that hand out tokens: OAuth 2.0, discovery, and the two managed-identity services.
use serde_json::{Value, json};

use super::{Issuer, claims};
use crate::answer::Answer;
use crate::call::pairs;
use crate::clock::wall;
use crate::settings::Client;

/// A request that might be for a token.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) headers: &'a http::HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) base: &'a str,
    pub(crate) identity_header: &'a str,
}

/// `None` where the path is none of these endpoints.
pub(crate) fn serve(issuer: &Issuer, request: &Request<'_>) -> Option<Answer> {
    let lower = request.path.to_ascii_lowercase();
    let segments: Vec<&str> = lower.split('/').filter(|segment| !segment.is_empty()).collect();
    Some(match segments.as_slice() {
        ["msi", "token"] => app_service(issuer, request),
        ["metadata", "identity", "oauth2", "token"] => instance_metadata(issuer, request),
        [_, "discovery", "instance"] | ["common", "discovery", "v2.0", "instance"] => {
            instance(issuer, request.base)
        }
        [tenant, "oauth2", "v2.0", "token"] | [tenant, "oauth2", "token"] => oauth(issuer, request, tenant),
        [tenant, "v2.0", ".well-known", "openid-configuration"]
        | [tenant, ".well-known", "openid-configuration"] => {
            known_tenant(issuer, tenant).unwrap_or_else(|| configuration(issuer, request.base))
        }
        [_, "discovery", "v2.0", "keys"] | [_, "discovery", "keys"] => Answer::json(200, issuer.key_set()),
        ["metadata", "endpoints"] => Answer::json(200, endpoints(request.base)),
        _ => return None,
    })
}

/// What `az cloud` and the Python clients read to find everything else.
fn endpoints(base: &str) -> Value {
    json!([{
        "portal": base,
        "authentication": {"loginEndpoint": base, "audiences": [base], "tenant": "common", "identityProvider": "AAD"},
        "resourceManager": base,
        "mlResourceId": base,
        "name": "ArmEmulator",
        "suffixes": {"storage": "core.local"}
    }])
}

fn known_tenant(issuer: &Issuer, tenant: &str) -> Option<Answer> {
    let known = tenant.eq_ignore_ascii_case(&issuer.tenant) || ["common", "organizations"].contains(&tenant);
    (!known).then(|| {
        let message = format!(
            "AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are \
             signing into the correct cloud."
        );
        failed(400, "invalid_request", 90002, &message)
    })
}

fn failed(status: u16, error: &str, code: u32, message: &str) -> Answer {
    let id = uuid::Uuid::new_v4().to_string();
    let body = json!({
        "error": error,
        "error_description": format!("{message} Trace ID: {id} Correlation ID: {id} Timestamp: {}", crate::clock::rfc3339(wall())),
        "error_codes": [code],
        "timestamp": crate::clock::rfc3339(wall()),
        "trace_id": id,
        "correlation_id": id,
    });
    Answer::json(status, body)
}

fn oauth(issuer: &Issuer, request: &Request<'_>, tenant: &str) -> Answer {
    if request.method != "POST" {
        return failed(
            405,
            "invalid_request",
            900_561,
            "AADSTS900561: The endpoint only accepts POST requests.",
        );
    }
    if let Some(refused) = known_tenant(issuer, tenant) {
        return refused;
    }
    let form = pairs(&String::from_utf8_lossy(request.body));
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    if field("grant_type") != "client_credentials" {
        let message =
            format!("AADSTS70003: The app requested an unsupported grant type '{}'.", field("grant_type"));
        return failed(400, "unsupported_grant_type", 70003, &message);
    }
    let id = field("client_id");
    let Some(client) = issuer.client(id) else {
        let message = format!(
            "AADSTS700016: Application with identifier '{id}' was not found in the directory '{}'. This can happen \
             if the application has not been installed by the administrator of the tenant.",
            issuer.tenant
        );
        return failed(400, "unauthorized_client", 700_016, &message);
    };
    if let Some(refused) = proved(issuer, &client, field("client_secret"), field("client_assertion")) {
        return refused;
    }
    let scope = if field("scope").is_empty() { field("resource") } else { field("scope") };
    if scope.is_empty() {
        let message = "AADSTS90014: The required field 'scope' is missing from the credential.";
        return failed(400, "invalid_request", 90014, message);
    }
    let audience = scope.strip_suffix("/.default").unwrap_or(scope);
    match issuer.issue(&client, audience, request.base) {
        Ok((token, _)) => {
            let lifetime = issuer.lifetime();
            let body = json!({
                "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token,
            });
            Answer::json(200, body).with("Cache-Control", "no-store").with("Pragma", "no-cache")
        }
        Err(error) => failed(500, "server_error", 0, &error.to_string()),
    }
}

/// Whether the client has shown who it is; the answer where it has not.
fn proved(issuer: &Issuer, client: &Client, secret: &str, assertion: &str) -> Option<Answer> {
    if !assertion.is_empty() {
        return assertion_problem(issuer, client, assertion);
    }
    if secret.is_empty() {
        let message = "AADSTS7000216: 'client_assertion', 'client_secret' or 'request' is required for the \
                       'client_credentials' grant type.";
        return Some(failed(401, "invalid_client", 7_000_216, message));
    }
    if client.secrets.iter().any(|known| known == secret) {
        return None;
    }
    let message = format!(
        "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client \
         secret value, not the client secret ID, for a secret added to app '{}'.",
        client.id
    );
    Some(failed(401, "invalid_client", 7_000_215, &message))
}

/// A federated token is believed by its form and its expiry: whoever signed it is not known here.
fn assertion_problem(issuer: &Issuer, client: &Client, assertion: &str) -> Option<Answer> {
    let refused = |code: u32, message: &str| Some(failed(401, "invalid_client", code, message));
    if !client.federated {
        return refused(
            700_213,
            "AADSTS700213: No matching federated identity record found for presented assertion.",
        );
    }
    let Some(claims) = claims(assertion) else {
        return refused(50027, "AADSTS50027: JWT token is invalid or malformed.");
    };
    if claims["exp"].as_i64().is_some_and(|expires| expires * 1000 <= issuer.now()) {
        return refused(700_024, "AADSTS700024: Client assertion is not within its valid time range.");
    }
    None
}

fn configuration(issuer: &Issuer, base: &str) -> Answer {
    let tenant = &issuer.tenant;
    Answer::json(
        200,
        json!({
            "issuer": format!("{base}/{tenant}/v2.0"),
            "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
            "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code", "id_token", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "scopes_supported": ["openid"],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "tid", "oid", "appid"],
            "tenant_region_scope": "NA",
            "cloud_instance_name": base.split("//").nth(1).unwrap_or(base),
        }),
    )
}

fn instance(issuer: &Issuer, base: &str) -> Answer {
    let host = base.split("//").nth(1).unwrap_or(base);
    Answer::json(
        200,
        json!({
            "tenant_discovery_endpoint": format!("{base}/{}/v2.0/.well-known/openid-configuration", issuer.tenant),
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }),
    )
}

/// The managed identity of App Service: a header proves that the caller is the app.
fn app_service(issuer: &Issuer, request: &Request<'_>) -> Answer {
    let header = request.headers.get("x-identity-header").and_then(|value| value.to_str().ok());
    if header != Some(request.identity_header) {
        let body = json!({"statusCode": 401, "message": "The X-IDENTITY-HEADER does not match."});
        return Answer::json(401, body);
    }
    managed(issuer, request)
}

/// The managed identity of a virtual machine: the address is the proof.
fn instance_metadata(issuer: &Issuer, request: &Request<'_>) -> Answer {
    let header = request.headers.get("metadata").and_then(|value| value.to_str().ok());
    if !header.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        let description = "Required metadata header not specified or not correct";
        return Answer::json(400, json!({"error": "invalid_request", "error_description": description}));
    }
    managed(issuer, request)
}

fn managed(issuer: &Issuer, request: &Request<'_>) -> Answer {
    let query =
        |name: &str| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let Some(resource) = query("resource").filter(|resource| !resource.is_empty()) else {
        let body = json!({"error": "invalid_resource", "error_description": "AADSTS500011: The resource principal is missing"});
        return Answer::json(400, body);
    };
    let client = match query("client_id") {
        Some(id) => issuer.client(id),
        None => issuer.clients.read().ok().and_then(|clients| clients.first().cloned()),
    };
    let Some(client) = client else {
        let body = json!({"error": "invalid_request", "error_description": "Identity not found"});
        return Answer::json(400, body);
    };
    match issuer.issue(&client, resource, request.base) {
        Ok((token, expires)) => Answer::json(
            200,
            json!({
                "access_token": token,
                "client_id": client.id,
                "expires_on": expires.to_string(),
                "expires_in": issuer.lifetime().to_string(),
                "ext_expires_in": issuer.lifetime().to_string(),
                "not_before": (issuer.now() / 1000).to_string(),
                "resource": resource,
                "token_type": "Bearer",
            }),
        ),
        Err(error) => {
            Answer::json(500, json!({"error": "server_error", "error_description": error.to_string()}))
        }
    }
}
