//! Fenced blocks, and which of those for a shell are run.

use std::collections::BTreeSet;
use std::fs;

use tests::stack::root;

use super::{Document, documents};

/// A fenced block.
pub(super) struct Block {
    pub(super) document: String,
    /// What follows the fence, such as `sh` or `sh no-run`.
    pub(super) info: String,
    /// Its lines, without the fences.
    pub(super) text: String,
}

/// Every fenced block of every document.
pub(super) fn blocks() -> Vec<Block> {
    documents().iter().flat_map(blocks_of).collect()
}

fn blocks_of(document: &Document) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in document.text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => {
                open = Some(Block {
                    document: document.path.clone(),
                    info: info.trim().to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block has no end", document.path);
    blocks
}

/// Blocks that are not run: document, how they begin, why.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "./dev up",
        "starts the system that these tests start by the launcher's library, and these tests",
    ),
    (
        "README.md",
        "tilt up",
        "needs Tilt, and starts the same system; tests/e2e/tiltfile.rs evaluates the Tiltfile",
    ),
    (
        "README.md",
        "cp .env.example .env",
        "needs containers; tests/e2e/compose.rs holds the files against the topology",
    ),
    (
        "compose/README.md",
        "cp .env.example .env",
        "needs containers; tests/e2e/compose.rs holds the files against the topology",
    ),
    (
        "compose/README.md",
        "printf %s",
        "needs the containers of the block before",
    ),
    (
        "compose/README.md",
        "docker compose -f docker-compose.yml",
        "needs containers, and runs tests",
    ),
    (
        "docs/grpc.md",
        "pip install",
        "needs packages of Python, and makes what only the lines after it need",
    ),
    (
        "docs/operating.md",
        "docker build",
        "needs Docker; tests/e2e/compose/images.rs reads the Dockerfile",
    ),
    ("docs/operating.md", "cosign verify", "needs a release"),
    (
        "docs/operating.md",
        "./dev exec",
        "reads the database of a running ./dev up",
    ),
    (
        "docs/operating.md",
        "auth outbox rebase",
        "publishes the outbox of every test once more",
    ),
    (
        "docs/operating.md",
        "auth outbox resume",
        "is refused, because the cursor of the shared system is sound; services/outbox/tests/it does it for real",
    ),
    (
        "docs/operating.md",
        "event-consumer inbox list",
        "names keys that nobody parked; services/event-consumer/tests/it does it for real",
    ),
    (
        "docs/operating.md",
        "event-consumer inbox retry-job",
        "names keys that have no job; services/event-consumer/tests/it does it for real",
    ),
    (
        "docs/operating.md",
        "event-consumer inbox reset",
        "moves a subscriber of the shared system; services/event-consumer/tests/it does it for real",
    ),
    (
        "docs/operating.md",
        "GRIMOIRE_TLS_LISTEN=",
        "serves until it is stopped",
    ),
    (
        "docs/operating.md",
        "openssl req",
        "starts a system of its own by ./dev up; gateway/tests/it/tls.rs serves over TLS",
    ),
    (
        "docs/operating.md",
        "auth reapply-erasures",
        "is for restored databases; services/auth/tests/it/commands.rs does it for real",
    ),
    (
        "docs/operating.md",
        "psql \"$USER_DATABASE_URL\"",
        "is for restored databases; services/auth/tests/it/commands.rs does it for real",
    ),
    ("docs/operating.md", "openssl rand", "needs no Grimoire"),
    (
        "docs/operating.md",
        "parked=",
        "has a word in the place of a key; tests/e2e/parked_events.rs makes the same calls",
    ),
    (
        "docs/operating.md",
        "api=",
        "has a word in the place of ids, and shuts people out; tests/e2e/admin.rs makes the same calls",
    ),
    (
        "docs/services.md",
        "buf build",
        "needs buf and protoc, which ./dev does not install; added_service.rs compiles the contract",
    ),
    (
        "docs/services.md",
        "curl -s localhost:9100/routes",
        "needs the service; added_service.rs makes such calls",
    ),
    (
        "docs/services.md",
        "kubectl -n grimoire create configmap",
        "needs a cluster",
    ),
    (
        "observability/README.md",
        "./dev up --observe",
        "runs until it is stopped; dashboards.rs starts a Prometheus for the shared system, real_collector.rs a collector for its own",
    ),
    (
        "observability/README.md",
        "./dev trace ",
        "reads what the system of ./dev up keeps; real_collector.rs prints the same of a trace",
    ),
    (
        "observability/README.md",
        "otelcol-contrib",
        "needs a collector, which ./dev does not install",
    ),
    (
        "gateway/README.md",
        "GRIMOIRE_UPSTREAMS=",
        "serves until it is stopped",
    ),
    (
        "gateway/README.md",
        "curl -s localhost:5000",
        "needs a token that the reader has; README.md's blocks make the same calls",
    ),
    (
        "mesh/README.md",
        "kind create cluster",
        "makes a cluster, which needs containers",
    ),
    (
        "mesh/README.md",
        "helm install cnpg",
        "needs the cluster of the block before",
    ),
    (
        "mesh/README.md",
        "for name in gateway",
        "needs the cluster and containers; tests/e2e/mesh builds the overlay",
    ),
    (
        "mesh/README.md",
        "kubectl -n grimoire port-forward",
        "needs the cluster; README.md's blocks make the same calls",
    ),
    (
        "mesh/README.md",
        "kubectl diff",
        "needs a cluster in production; tests/e2e/mesh builds the overlay",
    ),
    (
        "mesh/README.md",
        "kubectl -n grimoire annotate",
        "needs a cluster and a store of secrets",
    ),
    (
        "mesh/README.md",
        "mkdir crds",
        "runs these tests, with definitions from a cluster's makers",
    ),
    (
        "proto/README.md",
        "npm ci",
        "needs npm; tests/e2e/contracts makes the same checks",
    ),
    (
        "proto/README.md",
        "buf build",
        "changes what later contracts are held against",
    ),
    (
        "services/auth/README.md",
        "auth migrate",
        "serves until it is stopped",
    ),
    (
        "services/auth/README.md",
        "grpcurl",
        "has words in capitals in the place of ids and tokens that the reader has",
    ),
    (
        "services/event-consumer/README.md",
        "export EVENTS_DATABASE_URL",
        "serves until it is stopped",
    ),
    (
        "services/event-consumer/README.md",
        "grpcurl",
        "acts as an account that the reader names; README.md's blocks make the same call",
    ),
    (
        "services/user/README.md",
        "export USER_DATABASE_URL",
        "serves until it is stopped",
    ),
    (
        "services/user/README.md",
        "ID=",
        "acts as an account that the reader names; README.md's blocks make such calls",
    ),
    (
        "tilt/README.md",
        "tilt up",
        "needs Tilt, and starts the same system; tests/e2e/tiltfile.rs evaluates the Tiltfile",
    ),
];

#[test]
fn a_shell_block_is_run_or_stands_in_the_list_of_those_that_are_not() {
    let mut used = BTreeSet::new();
    for block in blocks() {
        let language = block.info.split([' ', ',']).next().unwrap_or_default();
        assert!(
            !["shell", "bash", "console", "zsh"].contains(&language),
            "{}: a block for a shell is `sh` or `sh no-run`, not `{}`",
            block.document,
            block.info
        );
        if language != "sh" {
            continue;
        }
        let listed = NOT_RUN.iter().position(|(document, beginning, _)| {
            *document == block.document && block.text.starts_with(beginning)
        });
        // What helps when something is broken does nothing where all is well.
        let runbook = block.document.starts_with("observability/runbooks/");
        match (block.info.as_str(), listed) {
            ("sh", None) => {}
            ("sh no-run", None) if runbook => {}
            ("sh no-run", Some(place)) => {
                used.insert(place);
            }
            (info, listed) => panic!(
                "{}: a block is marked `{info}` and is {} as not to be run:\n{}",
                block.document,
                if listed.is_some() {
                    "listed"
                } else {
                    "not listed"
                },
                block.text
            ),
        }
    }
    for (place, entry) in NOT_RUN.iter().enumerate() {
        assert!(used.contains(&place), "there is no such block: {entry:?}");
    }
}

#[test]
fn the_lines_that_dev_up_prints_are_those_of_the_readme() {
    let printed = include_str!("../../../tilt/launcher/src/try-it.sh");
    assert!(
        blocks().iter().any(|block| block.document == "README.md"
            && block.info == "sh"
            && block.text == printed),
        "README.md has no block that is tilt/launcher/src/try-it.sh"
    );
}

#[test]
fn code_for_a_browser_is_that_which_is_tried_in_one() {
    let folder = root().join("tests/browser/src");
    let sources: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("text"))
        .collect();
    for block in blocks().iter().filter(|block| block.info == "ts") {
        assert!(
            sources.iter().any(|source| source.contains(&block.text)),
            "{}: no file of tests/browser/src has\n{}",
            block.document,
            block.text
        );
    }
}
