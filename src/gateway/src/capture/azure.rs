//! Blobs of Azure Storage, written with the identity of the gateway's environment.
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientOptions, ObjectStoreExt as _};
use reqwest::Url;

/// Writes a blob below an address.
pub(super) async fn put(
    stores: &mut HashMap<String, Arc<MicrosoftAzure>>,
    client: &reqwest::Client,
    address: &str,
    name: &Path,
    lines: Vec<u8>,
) -> Result<(), String> {
    let place = Place::parse(address)?;
    let key = format!("{}/{}", place.endpoint, place.container);
    let store = if let Some(store) = stores.get(&key) {
        Arc::clone(store)
    } else {
        let store = Arc::new(place.open(client)?);
        stores.insert(key, Arc::clone(&store));
        store
    };
    let path = format!("{}/{}", place.folder, name.display());
    let path =
        object_store::path::Path::parse(path.trim_start_matches('/')).map_err(|error| error.to_string())?;
    store.put(&path, lines.into()).await.map(|_| ()).map_err(|error| crate::forward::deepest(&error))
}

/// A folder of a container.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    endpoint: String,
    account: String,
    container: String,
    folder: String,
}

impl Place {
    /// `https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH`, or an emulator's
    /// `http://127.0.0.1:PORT/ACCOUNT/CONTAINER/PATH`.
    fn parse(address: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "`{address}` names no container; write https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH"
            )
        };
        let url = Url::parse(address).map_err(|_| form())?;
        let mut origin = url.origin().ascii_serialization();
        let mut segments = url.path_segments().ok_or_else(form)?.filter(|segment| !segment.is_empty());
        let account = if url.scheme() == "https" {
            url.host_str().and_then(|host| host.split('.').next()).map(str::to_owned)
        } else {
            let account = segments.next().map(str::to_owned);
            origin = format!("{origin}/{}", account.as_deref().unwrap_or_default());
            account
        };
        let container = segments.next().ok_or_else(form)?.to_owned();
        let folder = segments.collect::<Vec<_>>().join("/");
        Ok(Self { endpoint: origin, account: account.ok_or_else(form)?, container, folder })
    }

    fn open(&self, client: &reqwest::Client) -> Result<MicrosoftAzure, String> {
        MicrosoftAzureBuilder::from_env()
            .with_account(&self.account)
            .with_container_name(&self.container)
            .with_endpoint(self.endpoint.clone())
            .with_allow_http(self.endpoint.starts_with("http://"))
            .with_http_connector(Connector(client.clone()))
            .build()
            .map_err(|error| crate::forward::deepest(&error))
    }
}

/// Gives `object_store` our client.
#[derive(Clone, Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let body = body.collect().await?.to_bytes();
        *request.body_mut() = Some(body.into());
        let response = self.0.execute(request).await.map_err(http_error)?;
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(http_error))))
    }
}

/// Without the address, which may hold a signature.
fn http_error(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() { HttpErrorKind::Timeout } else { HttpErrorKind::Request };
    HttpError::new(kind, error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_cloud_and_of_an_emulator_name_account_container_and_folder() {
        let place = Place::parse("https://acme.blob.core.windows.net/telemetry/churn/v1").unwrap();
        assert_eq!((&*place.account, &*place.container, &*place.folder), ("acme", "telemetry", "churn/v1"));
        assert_eq!(place.endpoint, "https://acme.blob.core.windows.net");
        let place = Place::parse("http://127.0.0.1:10000/devstoreaccount1/telemetry").unwrap();
        assert_eq!(
            (&*place.account, &*place.container, &*place.folder),
            ("devstoreaccount1", "telemetry", "")
        );
        assert!(Place::parse("https://acme.blob.core.windows.net/").unwrap_err().contains("CONTAINER"));
    }
}
