//! The architecture as a test: which module may import which, and the house rules that a machine can check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may import. `docs/ARCHITECTURE.md` shows the same table with its reasons.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("process", &[]),
    ("config", &[]),
    ("metrics", &[]),
    ("compute", &[]),
    ("network", &["compute"]),
    ("growth", &["network", "compute"]),
    ("policy", &["growth", "network"]),
    ("stream", &["config", "metrics", "network"]),
    ("registry", &["network", "growth", "stream"]),
    ("training", &["compute", "network", "growth", "policy", "stream", "registry", "config", "metrics"]),
    ("serving", &["compute", "network", "stream", "registry", "config", "metrics"]),
    ("store", &["network", "growth", "policy", "stream", "registry", "training", "config", "metrics"]),
];

/// The edges: they may import everything, and nothing may import them.
const EDGES: &[&str] = &["http", "cli"];

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("readable source");
        (path.strip_prefix(&root).expect("below src").to_owned(), text)
    };
    source_files(&root).into_iter().map(read).collect()
}

/// The first folder (or file) of a path below `src`.
fn module_of(path: &Path) -> String {
    let first = path.components().next().expect("a path has a part").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The part of a file before its tests: tests may use what the code may not.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

/// Every `crate::module` that a text names, also inside braces: `use crate::{a, b::c}`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let is_path_start = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == ':');
        if !is_path_start {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names {
            let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name.len());
            found.insert(name[..end].to_owned());
        }
    }
    found.remove("");
    found
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        if module == "main" || module == "lib" || EDGES.contains(&module.as_str()) {
            continue;
        }
        let Some(allowed) = allowed.get(module.as_str()) else {
            faults.push(format!("{}: the module `{module}` is not in the table", path.display()));
            continue;
        };
        let is_test_file = path.file_stem().is_some_and(|stem| stem == "tests" || stem == "suite");
        if is_test_file || path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        for import in imports(without_tests(&text)) {
            if import != module && !allowed.contains(&import.as_str()) {
                faults.push(format!("{}: {module} may not import {import}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_pure_modules_know_no_runtime_clock_or_database() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if !["compute", "network", "growth", "policy"].contains(&module_of(&path).as_str()) {
            continue;
        }
        for word in ["tokio::", "sqlx::", "axum::", "std::fs", "std::net", "SystemTime", "Instant::now", "thread_rng"] {
            if without_tests(&text).contains(word) {
                faults.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//!") {
            faults.push(format!("{}: does not open with `//!`", path.display()));
        }
        let lines = text.lines().count();
        if lines > 600 {
            faults.push(format!("{}: {lines} lines", path.display()));
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if ["util", "utils", "common", "misc", "helpers"].contains(&name.as_str()) {
            faults.push(format!("{}: a name that says nothing", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn status_codes_are_known_to_http_and_its_client_only() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if !EDGES.contains(&module_of(&path).as_str()) && text.contains("StatusCode") {
            faults.push(path.display().to_string());
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_reader_of_imports_finds_every_form() {
    let text = "use crate::a::B;\nuse crate::{c, d::E};\nlet x = crate::f::g();\nmy_crate::h::i();";
    let names: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(names, ["a", "c", "d", "f"]);
}

#[test]
fn guarantees_and_growth_name_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code: String = sources().into_iter().map(|(_, text)| text).collect();
    for file in source_files(&root.join("tests")) {
        code += &fs::read_to_string(file).expect("readable source");
    }
    let page = |name: &str| fs::read_to_string(root.join("docs").join(name)).expect("readable");
    let pages = page("GUARANTEES.md") + &page("GROWTH.md");
    let names: Vec<&str> = pages
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            name.matches('_').count() >= 3 && name.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c))
        })
        .collect();
    assert!(names.len() > 30, "{names:?}");
    let missing: Vec<&&str> = names.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
