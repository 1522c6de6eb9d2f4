//! Links to blobs, signed as Azure Storage signs them, so that a real blob service accepts them.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use crate::clock::{Milliseconds, rfc3339};
use crate::engine::Change;
use crate::settings::Settings;
use crate::state::text;

const VERSION: &str = "2021-12-02";
/// How long a link is good for.
const LIFETIME: Milliseconds = 24 * 3600 * 1000;

/// The storage account behind a workspace or a registry.
pub(crate) fn account(change: &Change<'_>) -> String {
    if let Some(account) = &change.settings().storage_account {
        return account.clone();
    }
    let Some(owner) = change.address.ancestor(1) else { return String::new() };
    let store = owner.child("datastores", "workspaceblobstore");
    let name = change.state.get(&store.key()).map(|record| record.text("/properties/accountName").to_owned());
    name.unwrap_or_else(|| {
        format!("st{}", &crate::rules::guid(&["storage", &owner.key()]).replace('-', "")[..16])
    })
}

/// The id of that account.
pub(crate) fn account_id(change: &Change<'_>, account: &str) -> String {
    let stored = change.address.ancestor(1).and_then(|owner| change.state.get(&owner.key()));
    let id = stored.map_or("", |record| text(&record.body, "/properties/storageAccount"));
    if id.is_empty() {
        return format!("{}/providers/Microsoft.Storage/storageAccounts/{account}", change.address.scope);
    }
    id.to_owned()
}

/// The address of a container: below the account's own host, or below a path where the endpoint has a port,
/// as local blob services want it.
pub(crate) fn blob_uri(settings: &Settings, account: &str, container: &str) -> String {
    let (protocol, endpoint) = (&settings.storage_protocol, &settings.storage_endpoint);
    if endpoint.contains(':') {
        return format!("{protocol}://{endpoint}/{account}/{container}");
    }
    format!("{protocol}://{account}.blob.{endpoint}/{container}")
}

/// The query of a link that may read, write and list a container.
pub(crate) fn signature(settings: &Settings, account: &str, container: &str, now: Milliseconds) -> String {
    let permissions = "rcwl";
    let expires = rfc3339((now + LIFETIME) / 1000 * 1000);
    let key = BASE64.decode(settings.storage_key()).unwrap_or_default();
    let fields =
        [permissions, "", &expires, &format!("/blob/{account}/{container}"), "", "", "", VERSION, "c"];
    let text = format!("{}\n\n\n\n\n\n\n", fields.join("\n"));
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    format!(
        "sv={VERSION}&sr=c&sp={permissions}&se={}&sig={}",
        encode(&expires),
        encode(&BASE64.encode(signed.as_ref()))
    )
}
