//! The commands that the documentation shows, so that it cannot rot.

use std::fs;
use std::path::PathBuf;

use super::ground::Ground;

/// The documents that show commands.
fn documents() -> Vec<PathBuf> {
    let docs = fs::read_dir(suites::root().join("docs")).expect("there is a docs folder");
    let mut documents: Vec<PathBuf> = docs
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.push(suites::root().join("README.md"));
    documents
}

/// The `cargo` commands of a document's fences and inline code, without comments and what stands before.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut fenced = false;
    let mut pieces: Vec<&str> = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            pieces.push(line.split(" #").next().unwrap_or(line));
        } else {
            pieces.extend(line.split('`').skip(1).step_by(2));
        }
    }
    pieces
        .into_iter()
        .filter_map(|piece| piece.find("cargo ").map(|start| &piece[start..]))
        .map(|command| command.split_whitespace().map(str::to_owned).collect())
        .collect()
}

#[test]
fn every_command_of_the_documentation_is_one() {
    let ground = Ground::new();
    let mut tried = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document can be read");
        for command in commands(&text) {
            let shown = format!("{}: {}", document.display(), command.join(" "));
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            match words.as_slice() {
                // With --help everything before it is still parsed, and nothing runs. What an
                // ellipsis stands for is left to the reader.
                ["cargo", "conform", rest @ ..] => {
                    let rest = rest.iter().copied().filter(|word| *word != "...");
                    let ended = ground.run(rest.chain(["--help"]));
                    assert_eq!(ended.code, 0, "{shown}: {ended}");
                }
                ["cargo", "test", rest @ ..] => assert_targets(rest, &shown),
                _ => continue,
            }
            tried += 1;
        }
    }
    assert!(
        tried > 10,
        "only {tried} commands were found in the documentation"
    );
}

/// The packages and test targets that a `cargo test` names are there.
fn assert_targets(arguments: &[&str], shown: &str) {
    for pair in arguments.windows(2) {
        let path = match pair {
            ["-p" | "--package", package] => suites::root().join(package).join("Cargo.toml"),
            ["--test", target] => suites::root().join("suites/tests").join(format!("{target}.rs")),
            _ => continue,
        };
        assert!(path.exists(), "{shown}: there is no {}", path.display());
    }
}

#[test]
fn commands_are_found_in_fences_and_in_text() {
    let text = "Run `cargo conform list` and `this`.\n```sh\nA=b cargo conform run --fresh  # now\nls\n```\n`cargo test`";
    let found: Vec<String> = commands(text).iter().map(|command| command.join(" ")).collect();
    assert_eq!(
        found,
        ["cargo conform list", "cargo conform run --fresh", "cargo test"]
    );
}
