//! The rules of this workspace that no compiler checks. Each function lists what breaks its rule.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::metadata::{Metadata, Package};

/// A source file has one subject; one that is longer than this, without its tests, has two.
const MAX_LINES: usize = 400;

/// What each published crate may depend on in this workspace, tests aside: all arrows point down,
/// and no two backends see each other. The facade may see all.
const ARROWS: [(&str, &[&str]); 7] = [
    ("acs-identity-core", &[]),
    ("acs-identity-cache", &["acs-identity-core"]),
    ("acs-identity-client", &["acs-identity-core"]),
    ("acs-identity-emulator", &["acs-identity-core"]),
    ("acs-identity-redis", &["acs-identity-core"]),
    ("acs-identity-sql", &["acs-identity-core"]),
    ("acs-identity-testkit", &["acs-identity-core"]),
];
const FACADE: &str = "acs-identity";

/// Source files of published crates that are too long.
pub(crate) fn sources(root: &Path) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for file in files(&root.join("crates"), "rs")? {
        let name = file.strip_prefix(root).unwrap_or(&file);
        // A crate's folder, then `src`: integration tests may be as long as they need.
        if name.components().nth(2).is_none_or(|part| part.as_os_str() != "src") {
            continue;
        }
        let lines = lines_without_tests(&fs::read_to_string(&file)?);
        if lines > MAX_LINES {
            violations.push(format!("{}: {lines} lines without its tests; at most {MAX_LINES}", name.display()));
        }
    }
    Ok(violations)
}

/// Documents that `docs/lib.rs` does not compile as doctests.
pub(crate) fn documents(root: &Path) -> Result<Vec<String>> {
    let docs = root.join("docs");
    let compiled = fs::read_to_string(docs.join("lib.rs"))?;
    let mut documents = vec!["../README.md".to_owned()];
    for file in files(&docs, "md")? {
        // Joined by `/` on every platform, as the attribute is written.
        let parts = file.strip_prefix(&docs).unwrap_or(&file).components();
        documents.push(parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/"));
    }
    documents.retain(|document| !compiled.contains(&format!("\"{document}\"")));
    Ok(documents.into_iter().map(|document| format!("docs/lib.rs does not compile {document}")).collect())
}

/// Published crates that do not bring the texts of their licences along, as this workspace has them.
pub(crate) fn licence_texts(root: &Path) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for text in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let own = fs::read(root.join(text))?;
        for manifest in files(&root.join("crates"), "toml")? {
            let file = manifest.with_file_name(text);
            let is_crate = manifest.file_name().is_some_and(|name| name == "Cargo.toml");
            if is_crate && fs::read(&file).ok().as_ref() != Some(&own) {
                let name = file.strip_prefix(root).unwrap_or(&file).display();
                violations.push(format!("{name}: this is not the workspace's; link it"));
            }
        }
    }
    Ok(violations)
}

/// Arrows between crates that do not point down.
pub(crate) fn arrows(metadata: &Metadata) -> Vec<String> {
    let members: Vec<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let published: Vec<&str> = metadata.published().map(|package| package.name.as_str()).collect();
    let mut violations = Vec::new();
    for package in metadata.members() {
        let in_crates = package.manifest_path.components().any(|part| part.as_os_str() == "crates");
        if package.is_published() != in_crates {
            violations
                .push(format!("{}: what is published lives in crates/, the rest has `publish = false`", package.name));
        } else if package.is_published() {
            violations.extend(wrong_arrows(package, &members, &published));
        }
    }
    violations
}

fn wrong_arrows(package: &Package, members: &[&str], published: &[&str]) -> Vec<String> {
    let allowed = if package.name == FACADE {
        published
    } else if let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) {
        allowed
    } else {
        return vec![format!("{}: xtask/src/rules.rs does not say what it may depend on", package.name)];
    };
    let inner = package.dependencies.iter().filter(|dependency| !dependency.is_dev());
    inner
        .map(|dependency| dependency.name.as_str())
        .filter(|name| members.contains(name) && !allowed.contains(name))
        .map(|name| format!("{} may not depend on {name}", package.name))
        .collect()
}

/// Members that declare another Rust version than the rest, and dependencies that need a newer one.
pub(crate) fn rust_version(metadata: &Metadata) -> Vec<String> {
    let Some(declared) = metadata.members().find_map(|package| package.rust_version.as_deref()) else {
        return vec!["no member declares a rust-version".into()];
    };
    let mut violations: Vec<String> = metadata
        .members()
        .filter(|package| package.rust_version.as_deref() != Some(declared))
        .map(|package| format!("{}: rust-version is not {declared}, as elsewhere in the workspace", package.name))
        .collect();
    for package in &metadata.packages {
        if let Some(needed) = package.rust_version.as_deref()
            && version(needed) > version(declared)
        {
            violations.push(format!("{} {} needs Rust {needed}, over {declared}", package.name, package.version));
        }
    }
    violations
}

/// The numbers of a Rust version; `1.94` and `1.94.0` are equal.
fn version(text: &str) -> [u64; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

/// Lines up to the module of tests at the end.
fn lines_without_tests(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(is_tests).unwrap_or(lines.len())
}

/// All files below a folder with an extension, sorted.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("cannot list {}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|one| one == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn package(name: &str, dependencies: &Value, more: &Value) -> Value {
        let folder = if name.starts_with("acs-identity") { "crates" } else { "." };
        let mut package = json!({
            "id": name, "name": name, "version": "0.1.0", "rust_version": "1.94",
            "manifest_path": format!("{folder}/{name}/Cargo.toml"), "dependencies": dependencies,
        });
        for (key, value) in more.as_object().expect("an object") {
            package[key] = value.clone();
        }
        package
    }

    fn workspace(packages: &[Value], members: &[&str]) -> Metadata {
        serde_json::from_value(json!({ "packages": packages, "workspace_members": members })).expect("metadata")
    }

    #[test]
    fn a_backend_may_not_see_another_one() {
        let needs = |names: &[&str]| names.iter().map(|name| json!({ "name": name, "kind": null })).collect::<Value>();
        let found = arrows(&workspace(
            &[
                package("acs-identity-core", &needs(&["serde"]), &json!({})),
                package("acs-identity-sql", &needs(&["acs-identity-core", "acs-identity-cache"]), &json!({})),
                package("acs-identity-cache", &needs(&["acs-identity-core"]), &json!({})),
                package("acs-identity", &needs(&["acs-identity-core", "acs-identity-sql"]), &json!({})),
            ],
            &["acs-identity-core", "acs-identity-sql", "acs-identity-cache", "acs-identity"],
        ));
        assert_eq!(found, ["acs-identity-sql may not depend on acs-identity-cache"]);
    }

    #[test]
    fn tests_may_use_the_testkit() {
        let dev = json!([{ "name": "acs-identity-testkit", "kind": "dev" }]);
        let build = json!([{ "name": "acs-identity-testkit", "kind": "build" }]);
        let testkit = package("acs-identity-testkit", &json!([]), &json!({}));
        let members = ["acs-identity-core", "acs-identity-testkit"];
        let with =
            |dependency| workspace(&[package("acs-identity-core", dependency, &json!({})), testkit.clone()], &members);
        assert!(arrows(&with(&dev)).is_empty());
        assert_eq!(arrows(&with(&build)), ["acs-identity-core may not depend on acs-identity-testkit"]);
    }

    #[test]
    fn a_new_crate_must_say_what_it_may_see() {
        let found = arrows(&workspace(&[package("acs-identity-new", &json!([]), &json!({}))], &["acs-identity-new"]));
        assert_eq!(found, ["acs-identity-new: xtask/src/rules.rs does not say what it may depend on"]);
    }

    #[test]
    fn what_is_outside_crates_is_not_published() {
        let private = package("tool", &json!([]), &json!({ "publish": [] }));
        let public = package("other", &json!([]), &json!({}));
        let found = arrows(&workspace(&[private, public], &["tool", "other"]));
        assert_eq!(found, ["other: what is published lives in crates/, the rest has `publish = false`"]);
    }

    #[test]
    fn a_dependency_may_not_need_a_newer_rust() {
        let newer = |version| package("dependency", &json!([]), &json!({ "rust_version": version }));
        let own = package("acs-identity-core", &json!([]), &json!({}));
        let found = |version| rust_version(&workspace(&[own.clone(), newer(version)], &["acs-identity-core"]));
        assert_eq!(found("1.100"), ["dependency 0.1.0 needs Rust 1.100, over 1.94"]);
        assert_eq!(found("1.94.1"), ["dependency 0.1.0 needs Rust 1.94.1, over 1.94"]);
        assert!(found("1.94.0").is_empty());
        assert!(found("1.9").is_empty());
    }

    #[test]
    fn members_declare_one_rust_version() {
        let own = package("acs-identity-core", &json!([]), &json!({}));
        let other = package("acs-identity-sql", &json!([]), &json!({ "rust_version": null }));
        let found = rust_version(&workspace(&[own, other], &["acs-identity-core", "acs-identity-sql"]));
        assert_eq!(found, ["acs-identity-sql: rust-version is not 1.94, as elsewhere in the workspace"]);
    }

    #[test]
    fn tests_do_not_count_as_lines_but_test_helpers_do() {
        assert_eq!(lines_without_tests("one\n\n#[cfg(test)]\nmod tests {\n}\n"), 2);
        assert_eq!(lines_without_tests("#[cfg(test)]\nuse one;\nmod two;\n"), 3);
    }

    #[test]
    fn long_files_missing_licences_and_uncompiled_documents_are_found() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).and_then(|()| fs::write(path, text)).expect("a file");
        };
        write("crates/one/src/deep/long.rs", &"\n".repeat(401));
        write("crates/one/src/fine.rs", &"\n".repeat(400));
        write("crates/one/tests/long.rs", &"\n".repeat(401));
        assert_eq!(
            sources(root.path()).expect("readable"),
            ["crates/one/src/deep/long.rs: 401 lines without its tests; at most 400"]
        );

        for text in ["LICENSE-APACHE", "LICENSE-MIT", "crates/one/LICENSE-MIT"] {
            write(text, "the same");
        }
        write("crates/one/Cargo.toml", "");
        write("crates/two/Cargo.toml", "");
        write("crates/two/LICENSE-APACHE", "the same");
        write("crates/two/LICENSE-MIT", "another");
        assert_eq!(
            licence_texts(root.path()).expect("readable"),
            [
                "crates/one/LICENSE-APACHE: this is not the workspace's; link it",
                "crates/two/LICENSE-MIT: this is not the workspace's; link it"
            ]
        );

        write("docs/lib.rs", "document!(a, \"a.md\"); document!(readme, \"../README.md\");");
        write("docs/a.md", "");
        write("docs/deep/b.md", "");
        assert_eq!(documents(root.path()).expect("readable"), ["docs/lib.rs does not compile deep/b.md"]);
    }
}
