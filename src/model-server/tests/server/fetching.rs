//! Models over HTTP: retries, redirects, bounds, secrets, and the fetch mode.
use axum::http::header;
use axum::response::IntoResponse as _;

use crate::support::{Files, Server, TlsFiles, demo, digest, fail, run, status};

fn bytes() -> Vec<u8> {
    std::fs::read(demo("model-v1.onnx")).unwrap()
}

/// The program runs beside the file server of the same test.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_faults_are_retried() {
    let files =
        Files::start(|number, _| if number < 3 { status(503) } else { bytes().into_response() }).await;
    let _server =
        Server::ready(&files.url("/model.onnx"), &["--model-digest", &digest("model-v1.onnx")]).await;
    assert_eq!(files.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_or_forbidden_file_is_not_retried_and_its_signature_not_shown() {
    for code in [404, 403] {
        let files = Files::start(move |_, _| status(code)).await;
        let url = files.url("/a.onnx?sv=1&sig=s3cret");
        let ended = blocking(move || fail(&url, &[])).await;
        assert_eq!((ended.code, ended.reason.as_str()), (10, "ModelFetchFailed"));
        assert!(ended.message.contains(&code.to_string()) && ended.message.contains("/a.onnx?<hidden>"));
        assert!(!ended.message.contains("s3cret"));
        assert_eq!(files.requests(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signature_is_not_in_the_log() {
    let files = Files::start(|_, _| status(404)).await;
    let url = files.url("/a.onnx?sig=s3cret");
    let ended = blocking(move || fail(&url, &["--log-level", "trace"])).await;
    assert!(!ended.log.contains("s3cret"), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn lasting_fault_ends_after_bounded_retries() {
    let files = Files::start(|_, _| status(500)).await;
    let url = files.url("/a.onnx");
    let ended = blocking(move || fail(&url, &[])).await;
    assert_eq!((ended.code, files.requests()), (10, 5), "{}", ended.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn download_with_another_digest_is_not_left_behind() {
    let files = Files::start(|_, _| bytes().into_response()).await;
    let folder = tempfile::tempdir().unwrap();
    let (url, to) = (files.url("/a.onnx"), folder.path().to_str().unwrap().to_owned());
    let other = digest("model-v2.onnx");
    let ended =
        blocking(move || run(&["fetch", "--model-uri", &url, "--model-digest", &other, "--to", &to])).await;
    assert_eq!((ended.code, ended.reason.as_str()), (11, "DigestMismatch"));
    assert!(
        ended.message.contains(&digest("model-v1.onnx")) && ended.message.contains(&digest("model-v2.onnx"))
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(files.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_puts_a_verified_file_under_its_own_name() {
    let files = Files::start(|_, _| bytes().into_response()).await;
    let folder = tempfile::tempdir().unwrap();
    let sources =
        [files.url("/models/model-v1.onnx?sig=1"), demo("model-v1.onnx").to_str().unwrap().to_owned()];
    for (place, uri) in sources.into_iter().enumerate() {
        let to = folder.path().join(place.to_string());
        let target = to.to_str().unwrap().to_owned();
        let right = digest("model-v1.onnx");
        let ended =
            blocking(move || run(&["fetch", "--model-uri", &uri, "--model-digest", &right, "--to", &target]))
                .await;
        assert_eq!(ended.code, 0, "{}", ended.log);
        assert_eq!(std::fs::read(to.join("model-v1.onnx")).unwrap(), bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_puts_a_file_under_the_name_it_is_given() {
    let files = Files::start(|_, _| bytes().into_response()).await;
    let folder = tempfile::tempdir().unwrap();
    for (place, uri) in
        [files.url("/"), demo("model-v1.onnx").to_str().unwrap().to_owned()].into_iter().enumerate()
    {
        let to = folder.path().join(place.to_string());
        let target = to.to_str().unwrap().to_owned();
        let ended = blocking(move || {
            run(&[
                "fetch",
                "--model-uri",
                &uri,
                "--model-digest",
                "",
                "--to",
                &target,
                "--file-name",
                "model",
            ])
        })
        .await;
        assert_eq!(ended.code, 0, "{}", ended.log);
        assert_eq!(std::fs::read(to.join("model")).unwrap(), bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_a_few_times_only() {
    let files = Files::start(|_, request| match request.uri().path() {
        "/model.onnx" => bytes().into_response(),
        "/once" => (axum::http::StatusCode::FOUND, [(header::LOCATION, "/model.onnx")]).into_response(),
        "/user" => (axum::http::StatusCode::FOUND, [(header::LOCATION, "http://a:s3cret@localhost/")])
            .into_response(),
        _ => (axum::http::StatusCode::FOUND, [(header::LOCATION, "/loop")]).into_response(),
    })
    .await;
    let _server = Server::ready(&files.url("/once"), &[]).await;
    for (path, words) in [("/loop", "too many redirects"), ("/user", "password")] {
        let url = files.url(path);
        let ended = blocking(move || fail(&url, &[])).await;
        assert_eq!(ended.code, 10);
        assert!(ended.message.contains(words) && !ended.message.contains("s3cret"), "{}", ended.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn artefact_beyond_the_limit_is_refused() {
    let files = Files::start(|_, _| bytes().into_response()).await;
    for uri in [files.url("/a.onnx"), demo("model-v1.onnx").to_str().unwrap().to_owned()] {
        let ended = blocking(move || fail(&uri, &["--max-model-bytes", "100"])).await;
        assert_eq!(ended.code, 10);
        assert!(ended.message.contains("--max-model-bytes"), "{}", ended.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_certificates_file_says_which() {
    let url = "https://127.0.0.1:1/a.onnx";
    let ended = blocking(move || fail(url, &["--ca-file", "/missing.pem"])).await;
    assert_eq!(ended.code, 10);
    assert!(ended.message.contains("/missing.pem"), "{}", ended.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn https_needs_an_authority_that_is_trusted_and_never_falls_back_to_http() {
    let plain = Files::start(|_, _| bytes().into_response()).await;
    let files = TlsFiles::start(bytes(), plain.url("/model.onnx")).await;
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &files.certificate).unwrap();
    let authority = authority.to_str().unwrap().to_owned();

    let _server = Server::ready(&files.url("/model.onnx"), &["--ca-file", &authority]).await;

    let url = files.url("/model.onnx");
    let ended = blocking(move || fail(&url, &[])).await;
    assert_eq!(ended.code, 10);
    assert!(ended.message.contains("--ca-file"), "{}", ended.message);

    let url = files.url("/to-http");
    let ended = blocking(move || fail(&url, &["--ca-file", &authority])).await;
    assert_eq!((ended.code, plain.requests()), (10, 0));
    assert!(ended.message.contains("from https to http"), "{}", ended.message);
}
