//! What README.md, docs/, the runbooks and the READMEs of the crates say is so: their commands run, their calls fit the contracts,
//! their links lead somewhere.

mod blocks;
mod calls;
mod commands;
mod links;
mod running;

use std::fs;
use std::path::Path;

use tests::stack::root;

/// A document of the repository.
struct Document {
    /// Relative to the repository.
    path: String,
    text: String,
}

/// README.md, docs/*.md, the runbooks, and each README.md below.
fn documents() -> Vec<Document> {
    let mut documents = Vec::new();
    collect(&root(), &mut documents);
    documents.sort_by(|one, other| one.path.cmp(&other.path));
    documents
}

fn collect(folder: &Path, documents: &mut Vec<Document>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect(&path, documents);
            }
        } else if name == "README.md"
            || (name.ends_with(".md") && (folder.ends_with("docs") || folder.ends_with("runbooks")))
        {
            let relative = path.strip_prefix(root()).expect("it is in the repository");
            documents.push(Document {
                path: relative.display().to_string(),
                text: fs::read_to_string(&path).expect("text"),
            });
        }
    }
}
