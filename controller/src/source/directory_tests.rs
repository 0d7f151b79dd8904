//! The directory on a real file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::{Directory, OpenError, Overrides};

fn route(name: &str) -> String {
    format!(
        "apiVersion: clrk.apoxy.dev/v1alpha1\nkind: AIProviderRoute\nmetadata: {{name: {name}}}\nspec: {{rules: []}}\n"
    )
}

fn with_files(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn names(directory: &mut Directory) -> Vec<String> {
    directory.load(&Overrides::default()).objects.keys().map(|object| object.key.name.clone()).collect()
}

async fn changes(directory: &mut Directory) -> bool {
    timeout(Duration::from_secs(5), directory.changed()).await.is_ok()
}

#[test]
fn what_cannot_be_a_source_is_refused_with_a_remedy() {
    let empty = with_files(&[("notes.txt", "")]);
    fs::create_dir(empty.path().join("inner.yaml")).unwrap();
    let file = empty.path().join("notes.txt");
    let missing = empty.path().join("missing");
    assert!(matches!(Directory::open(&missing), Err(OpenError::Missing(_))));
    assert!(matches!(Directory::open(&file), Err(OpenError::NotADirectory(_))));
    let error = Directory::open(empty.path()).err().unwrap();
    assert!(matches!(error, OpenError::Empty(_)));
    assert!(error.to_string().contains("put the manifests there"));
}

#[test]
fn only_manifest_files_of_the_directory_itself_are_read() {
    let held = with_files(&[
        ("a.yaml", &route("a")),
        ("b.yml", &route("b")),
        (".c.yaml", &route("hidden")),
        ("d.yaml~", &route("backup")),
        ("e.json", "{"),
    ]);
    fs::create_dir(held.path().join("inner")).unwrap();
    fs::write(held.path().join("inner/f.yaml"), route("inner")).unwrap();
    let elsewhere = with_files(&[("g", &route("linked"))]);
    symlink(elsewhere.path().join("g"), held.path().join("g.yaml")).unwrap();
    let mut directory = Directory::open(held.path()).unwrap();
    assert_eq!(names(&mut directory), ["a", "b", "linked"]);
}

#[test]
fn a_link_to_nowhere_and_a_pipe_are_problems_of_their_own() {
    let held = with_files(&[("a.yaml", &route("a"))]);
    symlink("/nonexistent", held.path().join("b.yaml")).unwrap();
    symlink("/dev/null", held.path().join("c.yaml")).unwrap();
    let loaded = Directory::open(held.path()).unwrap().load(&Overrides::default());
    assert_eq!(loaded.objects.len(), 1);
    let said: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(said[0].starts_with("b.yaml: cannot be read: No such file"), "{said:?}");
    assert!(said[1].starts_with("c.yaml: cannot be read: not a regular file"), "{said:?}");
}

#[tokio::test]
async fn added_replaced_and_removed_files_are_noticed() {
    let held = with_files(&[("a.yaml", &route("a"))]);
    let mut directory = Directory::open(held.path()).unwrap();
    assert_eq!(names(&mut directory), ["a"]);
    fs::write(held.path().join("b.yaml"), route("b")).unwrap();
    assert!(changes(&mut directory).await);
    assert_eq!(names(&mut directory), ["a", "b"]);
    fs::write(held.path().join("tmp"), route("c")).unwrap();
    fs::rename(held.path().join("tmp"), held.path().join("a.yaml")).unwrap();
    assert!(changes(&mut directory).await);
    assert_eq!(names(&mut directory), ["b", "c"]);
    fs::remove_file(held.path().join("b.yaml")).unwrap();
    assert!(changes(&mut directory).await);
    assert_eq!(names(&mut directory), ["c"]);
}

#[tokio::test]
async fn a_file_behind_a_link_is_noticed_by_polling() {
    let elsewhere = with_files(&[("a", &route("a"))]);
    let held = tempfile::tempdir().unwrap();
    symlink(elsewhere.path().join("a"), held.path().join("a.yaml")).unwrap();
    let mut directory = Directory::open(held.path()).unwrap();
    assert_eq!(names(&mut directory), ["a"]);
    fs::write(elsewhere.path().join("a"), route("changed")).unwrap();
    assert!(changes(&mut directory).await);
    assert_eq!(names(&mut directory), ["changed"]);
}

#[tokio::test]
async fn reading_is_no_change() {
    let held = with_files(&[("a.yaml", &route("a"))]);
    let mut directory = Directory::open(held.path()).unwrap();
    for _ in 0..3 {
        assert_eq!(names(&mut directory), ["a"]);
    }
    assert!(timeout(Duration::from_millis(1500), directory.changed()).await.is_err());
}

#[tokio::test]
async fn a_file_written_in_pieces_is_seen_whole() {
    let held = with_files(&[("a.yaml", &route("a"))]);
    let mut directory = Directory::open(held.path()).unwrap();
    assert_eq!(names(&mut directory), ["a"]);
    let path = held.path().join("a.yaml");
    let text = format!("{}---\n{}", route("b"), route("c"));
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        let mut file = fs::File::create(path).unwrap();
        for piece in text.as_bytes().chunks(40) {
            file.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert!(changes(&mut directory).await);
    assert_eq!(names(&mut directory), ["b", "c"]);
    writer.join().unwrap();
}

#[tokio::test]
async fn a_change_survives_a_dropped_wait() {
    let held = with_files(&[("a.yaml", &route("a"))]);
    let mut directory = Directory::open(held.path()).unwrap();
    assert_eq!(names(&mut directory), ["a"]);
    fs::write(held.path().join("b.yaml"), route("b")).unwrap();
    assert!(timeout(Duration::from_millis(20), directory.changed()).await.is_err());
    assert!(changes(&mut directory).await);
    assert_eq!(names(&mut directory), ["a", "b"]);
}

#[test]
fn a_directory_that_goes_away_keeps_its_last_good_objects() {
    let held = with_files(&[("a.yaml", &route("a"))]);
    let path = held.path().to_owned();
    let mut directory = Directory::open(&path).unwrap();
    assert_eq!(names(&mut directory), ["a"]);
    drop(held);
    let loaded = directory.load(&Overrides::default());
    assert_eq!(loaded.objects.len(), 1);
    assert!(loaded.problems[0].to_string().starts_with("the directory cannot be read: "));
}
