//! Expressions and metrics name each other.

use std::collections::{BTreeMap, BTreeSet};

use dashboards::{Rule, dashboards, elsewhere, rule_files};

/// Words of PromQL that stand where a metric may stand.
const WORDS: [&str; 10] = [
    "and", "avg", "bool", "count", "max", "min", "or", "sort", "sum", "unless",
];

/// The names of metrics in an expression.
fn metrics_of(expr: &str) -> BTreeSet<String> {
    let text = without(&without(expr, '{', '}'), '[', ']');
    let mut names = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|letter: char| letter.is_alphanumeric() || letter == '_') {
        rest = &rest[start..];
        let end = rest
            .find(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | ':' | '.'))
            .unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        let called = behind.trim_start().starts_with('(');
        if called && matches!(word, "by" | "on" | "without") {
            // What follows are labels.
            rest = behind.split_once(')').unwrap().1;
        } else if !called
            && !WORDS.contains(&word)
            && !word.starts_with(|letter: char| letter.is_ascii_digit())
        {
            names.insert(word.to_owned());
        }
    }
    names
}

/// The text without what stands between these two, quotes respected.
fn without(text: &str, open: char, close: char) -> String {
    let (mut kept, mut quote, mut inside) = (String::new(), None, false);
    for letter in text.chars() {
        match (letter, quote) {
            (_, Some(opened)) if letter == opened => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(letter),
            (_, None) if letter == open => inside = true,
            (_, None) if letter == close => inside = false,
            (_, None) if inside => {}
            (_, None) => kept.push(letter),
        }
    }
    kept
}

/// Every constant of names.rs, and whether it is a histogram.
fn ours() -> BTreeMap<&'static str, bool> {
    let source = include_str!("../../../telemetry/src/names.rs");
    let mut ours = BTreeMap::new();
    let mut histogram = false;
    for line in source.lines() {
        if let Some(said) = line.strip_prefix("/// ") {
            histogram = said.starts_with("Histogram");
        } else if line.starts_with("pub const ") {
            ours.insert(line.split('"').nth(1).unwrap(), histogram);
        }
    }
    ours
}

/// The metric that a series belongs to: those of a histogram have an ending.
fn metric_of(series: &str) -> &str {
    ["_bucket", "_count", "_sum"]
        .iter()
        .find_map(|ending| series.strip_suffix(ending))
        .unwrap_or(series)
}

/// The names in an expression that are no metric, and no series of a recording rule.
pub(crate) fn unknown(expr: &str) -> Vec<String> {
    let ours = ours();
    let recorded: BTreeSet<String> = rule_files()
        .into_iter()
        .flat_map(|file| file.rules)
        .filter_map(|rule| match rule {
            Rule::Record { name, .. } => Some(name),
            Rule::Alert { .. } => None,
        })
        .collect();
    let known = |name: &String| {
        let metric = metric_of(name);
        recorded.contains(name)
            || ours.get(name.as_str()) == Some(&false)
            || (metric != name && ours.get(metric) == Some(&true))
            || elsewhere::ALL.contains(&metric)
            || elsewhere::ALL.contains(&name.as_str())
    };
    let names = metrics_of(expr).into_iter();
    names.filter(|name| !known(name)).collect()
}

/// Every expression with its place.
fn expressions() -> Vec<(String, String)> {
    let mut expressions = Vec::new();
    for board in dashboards() {
        for panel in board.panels() {
            for target in &panel.targets {
                let place = format!("{}: {}", board.title, panel.title);
                expressions.push((place, target.expr.clone()));
            }
        }
    }
    for file in rule_files() {
        for rule in &file.rules {
            expressions.push((format!("rules of {}", file.name), rule.expr().to_owned()));
        }
    }
    expressions
}

#[test]
fn names_of_metrics_are_found_among_words_labels_and_numbers() {
    let expr = "(sum by (job, le) (rate(a_total{b=~'x{y}|z', c!=\"d\"}[5m])) or 0 * max(e)) / ( f:g:h > 0)\nand 14.4 * time() > bool 1";
    let found: Vec<String> = metrics_of(expr).into_iter().collect();
    assert_eq!(found, ["a_total", "e", "f:g:h"]);
    assert_eq!(
        unknown("sum(rate(no_such_metric_total[5m]))"),
        ["no_such_metric_total"]
    );
    assert_eq!(
        unknown("rpc_server_call_duration_seconds + outbox_unpublished_count"),
        [
            "outbox_unpublished_count",
            "rpc_server_call_duration_seconds"
        ],
        "a histogram has series with endings, and nothing else has"
    );
}

#[test]
fn every_expression_names_metrics_that_there_are() {
    for (place, expr) in expressions() {
        let unknown = unknown(&expr);
        assert!(unknown.is_empty(), "{place}: {unknown:?} in\n{expr}");
    }
}

#[test]
fn every_metric_of_ours_is_on_a_dashboard() {
    let shown: BTreeSet<String> = dashboards()
        .iter()
        .flat_map(|board| board.panels())
        .flat_map(|panel| &panel.targets)
        .flat_map(|target| metrics_of(&target.expr))
        .map(|series| metric_of(&series).to_owned())
        .collect();
    let missing: Vec<&str> = ours()
        .into_keys()
        .filter(|name| !shown.contains(metric_of(name)))
        .collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
}
