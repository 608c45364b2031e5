//! `${a.b}` in the values of `tilt/stack.yaml`.

use anyhow::{Context, Result};

/// What a template refers to, in order.
pub(crate) fn references(text: &str) -> Result<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${") {
        let (name, remainder) = after
            .split_once('}')
            .with_context(|| format!("{text}: no closing brace"))?;
        found.push(name);
        rest = remainder;
    }
    Ok(found)
}

/// The text with each reference replaced by what `value` says for it.
pub(crate) fn fill(text: &str, mut value: impl FnMut(&str) -> Result<String>) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, remainder) = after
            .split_once('}')
            .with_context(|| format!("{text}: no closing brace"))?;
        filled.push_str(before);
        filled.push_str(&value(name)?);
        rest = remainder;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_the_rest_is_kept() {
        let filled = fill("a ${b.c}-${d.e} $f", |name| Ok(name.to_uppercase())).unwrap();
        assert_eq!(filled, "a B.C-D.E $f");
        assert_eq!(references("a ${b.c}-${d.e} $f").unwrap(), ["b.c", "d.e"]);
    }
}
