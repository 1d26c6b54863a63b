use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::run;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

#[test]
fn all_known_answers_hold() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    let files: Vec<_> = files.map(|path| path.to_str().unwrap().to_owned()).collect();
    let mut args = vec!["vectors"];
    args.extend(files.iter().map(String::as_str));
    assert!(args.len() > 7);
    let text = run(&args).succeeded();
    assert!(text.lines().any(|line| line.ends_with(" passed, 0 failed")), "{text}");
    assert!(!text.starts_with('0'), "{text}");
}

#[test]
fn an_answer_that_is_wrong_is_named() {
    let text = std::fs::read_to_string(folder().join("eip3009_valid.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let digest = file["vectors"][3]["digest"].as_str().unwrap().replace(['1', '2'], "0");
    file["vectors"][3]["digest"] = digest.into();
    let count = file["vectors"].as_array().unwrap().len();
    let changed = tempfile::tempdir().unwrap();
    let path = changed.path().join("changed.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let ended = run(&["vectors", path.to_str().unwrap()]);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("changed.json: 3 ("), "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("{} passed, 1 failed", count - 1)), "{}", ended.stdout);
}

#[test]
fn a_file_of_something_else_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "{}", "{\"vectors\": []}", "[1]"] {
        let path = folder.path().join("other.json");
        std::fs::write(&path, text).unwrap();
        let ended = run(&["vectors", path.to_str().unwrap()]);
        assert_eq!(ended.code, 2, "{text}");
        assert!(ended.stderr.contains("other.json"), "{}", ended.stderr);
    }
    assert_eq!(run(&["vectors", "/nowhere/at/all.json"]).code, 2);
}
