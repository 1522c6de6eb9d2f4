//! Tests of sources: which URIs are taken, and how they are shown.
use super::*;

fn parse(uri: &str) -> Result<Source, String> {
    Source::parse(uri, None)
}

#[test]
fn paths_and_file_uris_are_local() {
    for uri in ["/models/a.onnx", "file:///models/a.onnx"] {
        assert_eq!(parse(uri), Ok(Source::Local(PathBuf::from("/models/a.onnx"))));
    }
    assert_eq!(parse("a.onnx"), Ok(Source::Local(PathBuf::from("a.onnx"))));
    assert!(parse("file://host/models/a.onnx").unwrap_err().contains("file:///models"));
}

#[test]
fn unsupported_schemes_are_refused_with_those_that_are() {
    for uri in ["azureml://registries/a/models/b/versions/1", "oci://a/b", "s3://a/b", "ftp://a/b"] {
        let message = parse(uri).unwrap_err();
        assert!(message.contains("https://") && message.contains("not supported"), "{message}");
    }
    assert!(parse("").unwrap_err().contains("empty"));
}

#[test]
fn credentials_in_an_address_are_refused_and_not_repeated() {
    for uri in ["https://user:s3cret@host/a.onnx", "http://s3cret@host/a.onnx"] {
        let message = parse(uri).unwrap_err();
        assert!(message.contains("password") && !message.contains("s3cret"), "{message}");
    }
    assert!(!parse("https://host:s3cret/a").unwrap_err().contains("s3cret"));
}

#[test]
fn query_and_fragment_are_never_shown() {
    let source = parse("https://account.blob.example/models/a.onnx?sig=s3cret#s3cret").unwrap();
    assert_eq!(source.shown(), "https://account.blob.example/models/a.onnx?<hidden>");
    assert_eq!(parse("https://host/a.onnx").unwrap().shown(), "https://host/a.onnx");
}

#[test]
fn file_name_is_the_last_segment_unless_it_could_do_harm() {
    let name = |uri: &str| parse(uri).unwrap().file_name();
    assert_eq!(name("https://host/models/churn-7.onnx?sig=1"), "churn-7.onnx");
    assert_eq!(name("/models/churn.onnx"), "churn.onnx");
    for uri in [
        "https://host",
        "https://host/a/",
        "https://host/%2e%2e%2fa",
        "https://host/.hidden",
        "https://host/a%00b",
    ] {
        assert_eq!(name(uri), "model.onnx", "{uri}");
    }
}

#[test]
fn folder_stands_for_its_only_model() {
    let folder = tempfile::tempdir().unwrap();
    assert!(model_file(folder.path()).unwrap_err().contains("no .onnx file"));
    let model = folder.path().join("a.onnx");
    std::fs::write(&model, "").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "").unwrap();
    assert_eq!(model_file(folder.path()), Ok(model.clone()));
    assert_eq!(model_file(&model), Ok(model));
    std::fs::write(folder.path().join("b.onnx"), "").unwrap();
    assert!(model_file(folder.path()).unwrap_err().contains("more than one"));
    assert!(model_file(&folder.path().join("missing")).unwrap_err().contains("volume"));
}
