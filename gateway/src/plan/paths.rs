//! Finds the binding of a path: a tree by segments, literals before wildcards.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::Binding;
use super::template::{Segment, Template};

/// Every binding, by path.
#[derive(Default)]
pub(crate) struct Paths {
    root: Node,
}

#[derive(Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    one: Option<Box<Node>>,
    rest: Vec<Leaf>,
    leaves: Vec<Leaf>,
}

/// The bindings of one path and verb, by HTTP method.
struct Leaf {
    verb: Box<str>,
    bindings: Vec<(Method, Arc<Binding>)>,
}

/// What a path was found to be.
pub(crate) enum Found<'a> {
    Binding(&'a Arc<Binding>),
    /// The path exists with these methods only.
    OtherMethods(Vec<&'a Method>),
    Nothing,
}

impl Paths {
    /// Adds a binding; gives back the one that is there already.
    pub(crate) fn insert(
        &mut self,
        method: Method,
        template: &Template,
        binding: Arc<Binding>,
    ) -> Result<(), Arc<Binding>> {
        let mut node = &mut self.root;
        let mut rest = false;
        for segment in &template.segments {
            match segment {
                Segment::Literal(text) => {
                    node = node.literals.entry(text.as_str().into()).or_default()
                }
                Segment::One => node = node.one.get_or_insert_default(),
                Segment::Rest => rest = true,
            }
        }
        let leaves = if rest {
            &mut node.rest
        } else {
            &mut node.leaves
        };
        let at = match leaves.iter().position(|leaf| *leaf.verb == *template.verb) {
            Some(at) => at,
            None => {
                leaves.push(Leaf {
                    verb: template.verb.as_str().into(),
                    bindings: Vec::new(),
                });
                leaves.len() - 1
            }
        };
        let bindings = &mut leaves[at].bindings;
        if let Some((_, other)) = bindings.iter().find(|(other, _)| *other == method) {
            return Err(other.clone());
        }
        bindings.push((method, binding));
        Ok(())
    }

    /// Looks a path up. HEAD finds what GET finds.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let Some(path) = path.strip_prefix('/') else {
            return Found::Nothing;
        };
        // A colon in the last segment may begin a verb, or belong to a value.
        let last = path.rfind('/').map_or(0, |at| at + 1);
        let verb = path[last..]
            .rfind(':')
            .map(|at| (&path[..last + at], &path[last + at + 1..]));
        let leaf = verb
            .and_then(|(path, verb)| self.root.descend(Some(path), verb))
            .or_else(|| self.root.descend(Some(path), ""));
        let Some(leaf) = leaf else {
            return Found::Nothing;
        };
        let wanted = if *method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        match leaf.bindings.iter().find(|(method, _)| method == wanted) {
            Some((_, binding)) => Found::Binding(binding),
            None => Found::OtherMethods(leaf.bindings.iter().map(|(method, _)| method).collect()),
        }
    }
}

impl Node {
    /// `path` is without its first slash; a path that is used up is told apart from an empty segment by `None`.
    fn descend(&self, path: Option<&str>, verb: &str) -> Option<&Leaf> {
        let Some(path) = path else {
            return with_verb(&self.leaves, verb);
        };
        let (segment, after) = match path.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        if segment.is_empty() {
            return None;
        }
        self.literals
            .get(segment)
            .and_then(|node| node.descend(after, verb))
            .or_else(|| self.one.as_ref().and_then(|node| node.descend(after, verb)))
            .or_else(|| with_verb(&self.rest, verb))
    }
}

fn with_verb<'a>(leaves: &'a [Leaf], verb: &str) -> Option<&'a Leaf> {
    leaves.iter().find(|leaf| *leaf.verb == *verb)
}
