use super::*;

#[test]
fn paths_are_normalised() {
    for (path, bundle, parent) in
        [("model", "model", "."), ("model/", "model", "."), ("a/./b/", "a/b", "a"), ("/x/y", "/x/y", "/x")]
    {
        let place = BundlePath::new(Path::new(path)).unwrap();
        assert_eq!((place.bundle(), place.parent()), (Path::new(bundle), Path::new(parent)));
    }
    assert_eq!(BundlePath::new(Path::new("a/model")).unwrap().old(), Path::new("a/.model.old"));
    assert!(BundlePath::new(Path::new("/")).is_err());
}

#[test]
fn current_directory_is_resolved() {
    let here = BundlePath::new(Path::new(".")).unwrap();
    assert_eq!(here.bundle(), std::env::current_dir().unwrap().canonicalize().unwrap());
}

#[cfg(unix)]
#[test]
fn leftovers_of_dead_processes_alone_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in [".model.partial-1", ".model.partial-2", ".model.partial-x", ".models.partial-1"] {
        fs::create_dir(at(name)).unwrap();
    }
    let living = lock(&at(".model.partial-2"));
    drop(BundlePath::new(&at("model")).unwrap().begin().unwrap());
    let left = |name: &str| at(name).exists();
    assert_eq!([left(".model.partial-1"), left(".model.partial-2")], [false, true]);
    assert!(left(".model.partial-x") && left(".models.partial-1"), "other names are kept");
    drop(living);
}

#[test]
fn bundle_is_restored_when_the_second_rename_fails() {
    let dir = tempfile::tempdir().unwrap();
    let place = BundlePath::new(&dir.path().join("model")).unwrap();
    fs::create_dir(place.bundle()).unwrap();
    let partial = place.begin().unwrap();
    fs::remove_dir(&partial.path).unwrap();
    partial.two_renames().unwrap_err();
    assert!(exists(place.bundle()) && !exists(&place.old()));
}

#[test]
fn advice_depends_on_the_error() {
    let said = |kind: ErrorKind| cannot_save(Path::new("runs/model"), &kind.into()).to_string();
    assert!(said(ErrorKind::StorageFull).contains("free some space"));
    assert!(said(ErrorKind::ReadOnlyFilesystem).contains("make its folder writable"));
    assert!(said(ErrorKind::ResourceBusy).contains("a mount point cannot be replaced"));
    assert!(said(ErrorKind::Other).starts_with("runs/model: cannot save: "));
}
