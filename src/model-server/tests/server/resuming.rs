//! Breaks: downloads go on where they ended, never mix two versions, and the cache saves the next one.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use xtask::azurite::{self, ACCOUNT};

use crate::support::{Ended, Files, run, run_with};

/// Bytes that differ from place to place, so that a part in the wrong place is seen.
fn content(seed: u8) -> Vec<u8> {
    (0..300_000_u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let mut hasher = model_server::digest::Hasher::default();
    hasher.update(bytes);
    hasher.finish().to_string()
}

/// Answers as a file server does: a part if it is asked for, nothing of a version that is gone; then breaks off.
fn answer(headers: &HeaderMap, bytes: &[u8], tag: &str, break_after: Option<usize>) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_MATCH).is_some_and(|wanted| wanted != tag) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let start = text(header::RANGE).map(|range| {
        range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap()
    });
    let body = bytes[start.unwrap_or(0)..].to_vec();
    let mut response =
        Response::builder().header(header::ETAG, tag).header(header::CONTENT_LENGTH, body.len());
    if let Some(start) = start {
        let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
    }
    let body = match break_after {
        None => Body::from(body),
        Some(length) => {
            let part = body[..length.min(body.len())].to_vec();
            // The break comes after a pause, in which what was said is sent.
            let end = async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("broken"))
            };
            Body::from_stream(stream::once(std::future::ready(Ok(part))).chain(stream::once(end)))
        }
    };
    response.body(body).unwrap()
}

async fn fetch(url: &str, to: &std::path::Path, more: &[&str]) -> Ended {
    let mut arguments =
        vec!["fetch", "--model-uri", url, "--to", to.to_str().unwrap(), "--file-name", "model"];
    arguments.extend(more);
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    tokio::task::spawn_blocking(move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_download_goes_on_where_it_ended() {
    let ranges = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&ranges);
    let files = Files::start(move |number, request| {
        let headers = request.headers();
        let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap().to_owned());
        seen.lock().unwrap().push(range);
        answer(headers, &content(0), "\"1\"", (number <= 7).then_some(40_000))
    })
    .await;
    let to = tempfile::tempdir().unwrap();
    let ended = fetch(&files.url("/a"), to.path(), &["--model-digest", &sha256(&content(0))]).await;
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert_eq!(std::fs::read(to.path().join("model")).unwrap(), content(0));
    let ranges = ranges.lock().unwrap().clone();
    let expected: Vec<Option<String>> =
        (0..ranges.len()).map(|number| (number > 0).then(|| format!("bytes={}-", number * 40_000))).collect();
    assert_eq!((ranges.len(), &ranges), (8, &expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_changes_between_parts_is_begun_anew() {
    // Some servers refuse the part, some send all of the new version, and some send a part of it.
    for habit in ["refuses", "sends all", "sends a part"] {
        let parts = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&parts);
        let files = Files::start(move |number, request| {
            let mut headers = request.headers().clone();
            if number == 1 {
                return answer(&headers, &content(1), "\"1\"", Some(100_000));
            }
            if headers.contains_key(header::RANGE) && headers.contains_key(header::IF_MATCH) {
                counter.fetch_add(1, Ordering::SeqCst);
            }
            if habit != "refuses" {
                headers.remove(header::IF_MATCH);
            }
            if habit == "sends all" {
                headers.remove(header::RANGE);
            }
            answer(&headers, &content(2), "\"2\"", None)
        })
        .await;
        let to = tempfile::tempdir().unwrap();
        let ended = fetch(&files.url("/a"), to.path(), &[]).await;
        assert_eq!((ended.code, parts.load(Ordering::SeqCst)), (0, 1), "{habit}: {}", ended.log);
        assert!(
            std::fs::read(to.path().join("model")).unwrap() == content(2),
            "{habit}: two versions are mixed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_without_a_strong_tag_is_never_continued() {
    for tag in ["W/\"1\"", "none"] {
        let files = Files::start(move |number, request| {
            assert!(!request.headers().contains_key(header::RANGE));
            let (seed, end) = if number == 1 { (1, Some(100_000)) } else { (2, None) };
            answer(request.headers(), &content(seed), tag, end)
        })
        .await;
        let to = tempfile::tempdir().unwrap();
        let ended = fetch(&files.url("/a"), to.path(), &[]).await;
        assert_eq!(ended.code, 0, "{tag}: {}", ended.log);
        assert!(std::fs::read(to.path().join("model")).unwrap() == content(2), "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_never_stays_the_same_is_given_up() {
    let files = Files::start(|number, request| {
        let tag = format!("\"{number}\"");
        answer(request.headers(), &content(number as u8), &tag, Some(1000))
    })
    .await;
    let to = tempfile::tempdir().unwrap();
    let ended = fetch(&files.url("/a"), to.path(), &[]).await;
    assert_eq!(ended.code, 10, "{}", ended.log);
    assert!(ended.message.contains("changed while it was fetched"), "{}", ended.message);
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
}

/// Passes connections on, and cuts the first ones after some bytes of an answer.
async fn cutting_proxy(
    target: std::net::SocketAddr,
    cuts: usize,
    after: usize,
) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&done);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let server = TcpStream::connect(target).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let (mut passed, mut buffer) = (0, vec![0; 4096]);
                loop {
                    let length = from_server.read(&mut buffer).await.unwrap_or(0);
                    passed += length;
                    if length == 0 || to_client.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                    if passed > after && counter.load(Ordering::SeqCst) < cuts {
                        counter.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                }
            });
        }
    });
    (address, done)
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_download_of_a_blob_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let azurite = azurite::start(&azurite::Options::new(folder.path())).unwrap();
    azurite.create_container(ACCOUNT, "models").unwrap();
    let whole = [content(0), content(1), content(2), content(3)].concat();
    azurite.put_blob(ACCOUNT, "models", "large.bin", &whole).unwrap();
    let endpoint = azurite.endpoint(ACCOUNT);
    let place = endpoint.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
    let (proxy, cuts) = cutting_proxy(place, 5, 200_000).await;
    let variables = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", azurite.key(ACCOUNT).unwrap().to_owned()),
        ("AZURE_STORAGE_ENDPOINT", format!("http://{proxy}/{ACCOUNT}")),
    ];
    let to = folder.path().join("to");
    let target = to.to_str().unwrap().to_owned();
    let known = sha256(&whole);
    let ended = tokio::task::spawn_blocking(move || {
        let uri = "az://models/large.bin";
        run_with(&["fetch", "--model-uri", uri, "--to", &target, "--model-digest", &known], &variables)
    })
    .await
    .unwrap();
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert!(std::fs::read(to.join("large.bin")).unwrap() == whole);
    assert_eq!(cuts.load(Ordering::SeqCst), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn blob_that_changes_between_parts_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let azurite = azurite::start(&azurite::Options::new(folder.path())).unwrap();
    azurite.create_container(ACCOUNT, "models").unwrap();
    let [first, second] = [1, 2].map(|seed| [content(seed), content(seed + 4), content(seed + 8)].concat());
    azurite.put_blob(ACCOUNT, "models", "large.bin", &first).unwrap();
    let endpoint = azurite.endpoint(ACCOUNT);
    let place = endpoint.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
    let (proxy, cuts) = cutting_proxy(place, 1, 300_000).await;
    let variables = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", azurite.key(ACCOUNT).unwrap().to_owned()),
        ("AZURE_STORAGE_ENDPOINT", format!("http://{proxy}/{ACCOUNT}")),
    ];
    let to = folder.path().join("to");
    let target = to.to_str().unwrap().to_owned();
    let fetch = tokio::task::spawn_blocking(move || {
        run_with(&["fetch", "--model-uri", "az://models/large.bin", "--to", &target], &variables)
    });
    while cuts.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // Within the pause before the next attempt.
    tokio::task::block_in_place(|| azurite.put_blob(ACCOUNT, "models", "large.bin", &second)).unwrap();
    let ended = fetch.await.unwrap();
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert!(ended.log.contains("changed while it was fetched"), "{}", ended.log);
    assert!(std::fs::read(to.join("large.bin")).unwrap() == second);
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_artefact_needs_no_network_and_a_damaged_one_is_fetched_again() {
    let files = Files::start(|_, request| answer(request.headers(), &content(0), "\"1\"", None)).await;
    let folder = tempfile::tempdir().unwrap();
    let (cache, known) = (folder.path().join("cache"), sha256(&content(0)));
    let options = ["--cache", cache.to_str().unwrap(), "--model-digest", &known];
    let to = |name: &str| folder.path().join(name);
    for (name, requests) in [("first", 1), ("second", 1)] {
        let ended = fetch(&files.url("/a"), &to(name), &options).await;
        assert_eq!((ended.code, files.requests()), (0, requests), "{}", ended.log);
        assert!(std::fs::read(to(name).join("model")).unwrap() == content(0));
    }
    // Nobody listens there.
    let ended = fetch("http://127.0.0.1:1/a", &to("offline"), &options).await;
    assert_eq!(ended.code, 0, "{}", ended.log);

    let entry = cache.join("sha256").join(known.trim_start_matches("sha256:"));
    std::fs::write(&entry, content(9)).unwrap();
    let ended = fetch(&files.url("/a"), &to("third"), &options).await;
    assert_eq!((ended.code, files.requests()), (0, 2), "{}", ended.log);
    assert!(std::fs::read(to("third").join("model")).unwrap() == content(0));
    assert!(std::fs::read(&entry).unwrap() == content(0));

    // Without a digest nothing tells one version from another.
    let ended = fetch(&files.url("/a"), &to("fourth"), &options[..2]).await;
    assert_eq!((ended.code, files.requests()), (0, 3), "{}", ended.log);
}
