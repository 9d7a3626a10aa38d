//! The crate as its users have it: packed, unpacked where nothing of the repository is, and used by an empty project.
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use self::service::Service;

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "it/support/service.rs"]
mod service;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const NAME: &str = concat!("dibs-client-", env!("CARGO_PKG_VERSION"));

/// A folder that is removed with everything in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = env::temp_dir().join(format!("dibs-package-{}", process::id()));
        fs::create_dir_all(folder.join("shop/src")).expect("a folder");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Its standard output and standard error.
fn run(command: &mut Command) -> (String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    (out, err)
}

/// Without a network: all that it needs was downloaded for these tests. In a folder for what is built of its own, since
/// those who run the tests may hold the other one.
fn cargo(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(folder).env("CARGO_NET_OFFLINE", "true");
    command.env("CARGO_TARGET_DIR", Path::new(HERE).join("target/outside")).env_remove("CARGO_TERM_QUIET");
    command
}

/// Its files, relative to it.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut names: Vec<_> = entries.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_empty_project_elsewhere_uses_the_package() {
    let folder = Folder::new();
    let pack = ["package", "--locked", "--no-verify", "--allow-dirty", "--package", "dibs-client"];
    let (_, err) = run(&mut cargo(&pack, Path::new(HERE)));
    for warning in err.lines().filter(|line| line.starts_with("warning:")) {
        assert!(warning.starts_with("warning: ignoring test"), "the registry would say so too: {warning}");
    }
    let packed = Path::new(HERE).join(format!("target/outside/package/{NAME}.crate"));
    run(Command::new("tar").arg("-xzf").arg(&packed).arg("-C").arg(&folder.0));
    let unpacked = folder.0.join(NAME);
    let kept = files(&unpacked);
    for name in ["Cargo.toml", "LICENSE", "README.md", "calls.md", "examples", "observing.md", "options.md", "src"] {
        assert!(kept.iter().any(|kept| kept == name), "{name} is missing: {kept:?}");
    }
    assert!(
        !kept.iter().any(|name| ["conformance", "generate", "target", "tests"].contains(&name.as_str())),
        "{kept:?}"
    );

    let shop = folder.0.join("shop");
    let manifest = format!(
        r#"[package]
name = "shop"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
dibs-client = {{ path = "../{NAME}", features = ["opentelemetry"] }}
serde = {{ version = "1", features = ["derive"] }}
tokio = {{ version = "1", features = ["macros", "rt-multi-thread"] }}

[profile.dev]
debug = false
"#
    );
    fs::write(shop.join("Cargo.toml"), manifest).expect("a file");
    fs::copy(unpacked.join("examples/start.rs"), shop.join("src/main.rs")).expect("a program");
    // The versions that are tested, and that are there.
    fs::copy(Path::new(HERE).join("Cargo.lock"), shop.join("Cargo.lock")).expect("a lock file");
    let service = Service::start(&[]);
    let (out, _) = run(cargo(&["run", "--quiet"], &shop).env("DIBS_TARGET", &service.target));
    assert_eq!(out, "Ada\n");
}

#[test]
fn the_registry_is_told_what_it_shows() {
    let metadata = run(&mut cargo(&["metadata", "--no-deps", "--format-version", "1", "--locked"], Path::new(HERE))).0;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("JSON");
    let its = metadata["packages"].as_array().unwrap().iter().find(|its| its["name"] == "dibs-client").unwrap();
    for field in ["description", "license", "repository", "homepage", "documentation", "readme", "rust_version"] {
        assert!(its[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    for (field, most) in [("keywords", 5), ("categories", 5)] {
        let count = its[field].as_array().unwrap().len();
        assert!((1..=most).contains(&count), "{field}: {count}");
    }
    assert_eq!(its["metadata"]["docs"]["rs"]["all-features"], true);
}
