//! Tests of a real Azurite: what is stored is read back, also after another start, and only with a signature.
use super::*;

fn get(address: &str) -> (u16, Vec<u8>) {
    let request = ureq::get(address).config().proxy(None).http_status_as_error(false).build();
    let mut answer = request.call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_vec().unwrap())
}

#[test]
fn blob_is_kept_from_start_to_start_and_needs_a_signature() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(folder.path());
    let azurite = start(&options).unwrap();
    azurite.create_container(ACCOUNT, "models").unwrap();
    azurite.put_blob(ACCOUNT, "models", "churn/model.onnx", b"bytes").unwrap();
    drop(azurite);

    let azurite = start(&options).unwrap();
    let address = format!("{}/models/churn/model.onnx", azurite.endpoint(ACCOUNT));
    let signature = azurite.signature(ACCOUNT, "r").unwrap();
    assert_eq!(get(&format!("{address}?{signature}")), (200, b"bytes".to_vec()));
    assert_ne!(get(&address).0, 200);
    let other = azurite.signature(ACCOUNT, "w").unwrap();
    assert_eq!(get(&format!("{address}?{other}")).0, 403);
}
