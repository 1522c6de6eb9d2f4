//! Starts that must fail: the exit code, the termination message, and what it tells to change.
use crate::support::{Ended, demo, digest, fail, model, run};

fn assert_failed(ended: &Ended, code: i32, reason: &str, words: &[&str]) {
    assert_eq!((ended.code, ended.reason.as_str()), (code, reason), "{}\n{}", ended.message, ended.log);
    for word in words {
        assert!(ended.message.contains(word), "{word} is not in: {}", ended.message);
    }
    assert!(ended.message.chars().count() <= 1000);
}

#[test]
fn wrong_digest_says_expected_and_actual() {
    let wrong = format!("sha256:{}", "0".repeat(64));
    let ended = fail(demo("model-v1.onnx").to_str().unwrap(), &["--model-digest", &wrong]);
    assert_failed(&ended, 11, "DigestMismatch", &[&wrong, &digest("model-v1.onnx")]);
    assert!(ended.log.contains("DigestMismatch"));
}

#[test]
fn files_that_are_no_model_fail_to_load_with_a_guess_at_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let valid = std::fs::read(demo("model-v2.onnx")).unwrap();
    let cases: [(&[u8], &str); 5] = [
        (b"", "empty"),
        (b"<html>sign in</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
        (b"\x00\x01\x02 noise", "damaged"),
        (&valid[..valid.len() / 2], "damaged"),
    ];
    for (bytes, words) in cases {
        let path = folder.path().join("a.onnx");
        std::fs::write(&path, bytes).unwrap();
        assert_failed(&fail(path.to_str().unwrap(), &[]), 12, "ModelLoadFailed", &[words]);
    }
}

#[test]
fn every_cut_of_a_model_ends_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.onnx");
    let valid = std::fs::read(demo("model-v1.onnx")).unwrap();
    for step in 1..12 {
        let mut bytes = valid.clone();
        bytes[valid.len() * step / 12] ^= 0x55;
        bytes.truncate(valid.len() * (step + 1) / 12 + 1);
        std::fs::write(&path, bytes).unwrap();
        let ended = fail(path.to_str().unwrap(), &["--model-digest", &digest("model-v2.onnx")]);
        assert_eq!(ended.code, 11);
        let ended = fail(path.to_str().unwrap(), &[]);
        assert!(ended.code == 12 || ended.code == 13, "{step}: {} {}", ended.code, ended.log);
    }
}

#[test]
fn weights_outside_the_models_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret.bin"), [0; 8]).unwrap();
    let inner = folder.path().join("model");
    std::fs::create_dir(&inner).unwrap();
    for name in ["external-parent.onnx", "external-absolute.onnx"] {
        std::fs::copy(model(name), inner.join(name)).unwrap();
        assert_failed(
            &fail(inner.join(name).to_str().unwrap(), &[]),
            12,
            "ModelLoadFailed",
            &["xternal data"],
        );
    }
}

#[test]
fn outputs_that_are_no_tensors_are_refused_with_the_export_option() {
    let ended = fail(model("sequence.onnx").to_str().unwrap(), &[]);
    assert_failed(&ended, 12, "ModelLoadFailed", &["`s`", "zipmap"]);
}

#[test]
fn model_that_fails_at_zeros_asks_for_a_real_request() {
    let ended = fail(model("seven.onnx").to_str().unwrap(), &[]);
    assert_failed(&ended, 13, "WarmUpFailed", &["--warm-up"]);
}

#[test]
fn missing_library_says_which_variable_to_set() {
    let ended =
        fail(demo("model-v1.onnx").to_str().unwrap(), &["--onnxruntime", "/missing/libonnxruntime.so"]);
    assert_failed(&ended, 12, "ModelLoadFailed", &["ORT_DYLIB_PATH"]);
}

#[test]
fn library_that_is_none_fails_cleanly() {
    let path = demo("model-v1.onnx");
    let ended = fail(path.to_str().unwrap(), &["--onnxruntime", path.to_str().unwrap()]);
    assert_failed(&ended, 12, "ModelLoadFailed", &["can't be used"]);
}

#[test]
fn missing_file_and_unknown_scheme_say_so() {
    assert_failed(&fail("/missing/a.onnx", &[]), 10, "ModelFetchFailed", &["/missing/a.onnx", "mount"]);
    assert_failed(&fail("s3://bucket/a.onnx", &[]), 2, "InvalidArguments", &["s3", "https://"]);
    assert_failed(&fail("https://me:s3cret@host/a.onnx", &[]), 2, "InvalidArguments", &["password"]);
}

#[test]
fn wrong_usage_is_written_too() {
    assert_failed(&run(&["--model-uri", "/a"]), 2, "InvalidArguments", &["--model-name"]);
    let ended = fail("/a", &["--model-digest", "md5:1"]);
    assert_failed(&ended, 2, "InvalidArguments", &["64 hexadecimal digits"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&["--model-uri", "/a", "--model-name", "demo", "--http", &address]);
    assert_failed(&ended, 2, "InvalidArguments", &[&address]);
}
