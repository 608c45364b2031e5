//! Path templates of google.api.http: literals, `{field}`, `{field=literal/*}` with `**` at the end, and a `:verb`.

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    /// The custom verb after the last colon; empty where there is none.
    pub(crate) verb: String,
    pub(crate) variables: Vec<Variable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    /// Exactly one segment.
    One,
    /// All that is left, at least one segment.
    Rest,
}

/// A field that is bound to segments `first..end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Path of the field, with dots, in proto names.
    pub(crate) field: String,
    pub(crate) first: usize,
    pub(crate) end: usize,
}

/// Why a template is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("does not begin with /")]
    NoSlash,
    #[error("has an empty segment or name")]
    Empty,
    #[error("has a brace that is not closed, or one inside another")]
    Brace,
    #[error("has ** before its end")]
    RestNotLast,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let path = text.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        // A colon inside of braces would belong to a pattern, and patterns have no verbs.
        let (path, verb) = match path.rsplit_once(':') {
            Some((path, verb)) if !verb.contains(['}', '/']) => (path, verb),
            _ => (path, ""),
        };
        if verb.is_empty() && text.ends_with(':') {
            return Err(TemplateError::Empty);
        }
        let mut template = Self {
            segments: Vec::new(),
            verb: verb.to_owned(),
            variables: Vec::new(),
        };
        let mut rest = path;
        loop {
            rest = match rest.strip_prefix('{') {
                Some(after) => {
                    let (inside, after) = after.split_once('}').ok_or(TemplateError::Brace)?;
                    template.variable(inside)?;
                    after
                }
                None => {
                    let end = rest.find('/').unwrap_or(rest.len());
                    template.segment(&rest[..end])?;
                    &rest[end..]
                }
            };
            match rest.strip_prefix('/') {
                Some(next) => rest = next,
                None if rest.is_empty() => break,
                None => return Err(TemplateError::Brace),
            }
        }
        match template
            .segments
            .iter()
            .position(|segment| *segment == Segment::Rest)
        {
            Some(at) if at + 1 != template.segments.len() => Err(TemplateError::RestNotLast),
            _ => Ok(template),
        }
    }

    /// Whether there is a path that this one takes and `other`, too. Of the same path with another verb each has its own.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        fn overlap(these: &[Segment], those: &[Segment]) -> bool {
            match (these, those) {
                ([], []) => true,
                ([Segment::Rest, ..], [_, ..]) | ([_, ..], [Segment::Rest, ..]) => true,
                ([Segment::Literal(this), ..], [Segment::Literal(that), ..]) if this != that => {
                    false
                }
                ([_, these @ ..], [_, those @ ..]) => overlap(these, those),
                _ => false,
            }
        }
        self.verb == other.verb && overlap(&self.segments, &other.segments)
    }

    /// Whether both take the same paths.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.verb == other.verb && self.segments == other.segments
    }

    fn variable(&mut self, inside: &str) -> Result<(), TemplateError> {
        let (field, pattern) = inside.split_once('=').unwrap_or((inside, "*"));
        if field.is_empty() {
            return Err(TemplateError::Empty);
        }
        let first = self.segments.len();
        for segment in pattern.split('/') {
            self.segment(segment)?;
        }
        self.variables.push(Variable {
            field: field.to_owned(),
            first,
            end: self.segments.len(),
        });
        Ok(())
    }

    fn segment(&mut self, text: &str) -> Result<(), TemplateError> {
        self.segments.push(match text {
            "" => return Err(TemplateError::Empty),
            "*" => Segment::One,
            "**" => Segment::Rest,
            text if text.contains(['{', '}']) => return Err(TemplateError::Brace),
            text => Segment::Literal(text.to_owned()),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.to_owned())
    }

    #[test]
    fn a_template_has_literals_variables_and_a_verb() {
        let template =
            Template::parse("/v1/accounts/{account}/sessions/{session.id}:revoke").unwrap();
        assert_eq!(
            template.segments,
            [
                literal("v1"),
                literal("accounts"),
                Segment::One,
                literal("sessions"),
                Segment::One
            ]
        );
        assert_eq!(template.verb, "revoke");
        assert_eq!(
            template.variables[0],
            Variable {
                field: "account".into(),
                first: 2,
                end: 3
            }
        );
        assert_eq!(
            template.variables[1],
            Variable {
                field: "session.id".into(),
                first: 4,
                end: 5
            }
        );
        assert_eq!(
            Template::parse("/v1/accounts:register").unwrap().verb,
            "register"
        );
    }

    #[test]
    fn a_variable_may_take_several_segments() {
        let template = Template::parse("/v1/{name=files/**}").unwrap();
        assert_eq!(
            template.segments,
            [literal("v1"), literal("files"), Segment::Rest]
        );
        assert_eq!(template.verb, "");
        assert_eq!(
            template.variables[0],
            Variable {
                field: "name".into(),
                first: 1,
                end: 3
            }
        );
    }

    #[test]
    fn templates_overlap_where_a_path_is_of_both() {
        for (one, other, overlap) in [
            ("/v1/users/{user}", "/v1/users/me", true),
            ("/v1/users/{user}", "/v1/users/{id}", true),
            ("/v1/{name=**}", "/v1/users/{user}", true),
            ("/{any}/users/{user}", "/v1/users/me", true),
            ("/v1/users/{user}", "/v1/orders/{order}", false),
            ("/v1/users/{user}", "/v1/users", false),
            ("/v1/users/{user}", "/v1/users/{user}/orders", false),
            ("/v1/users/{user}", "/v1/users/{user}:count", false),
            ("/docs/**", "/docs", false),
        ] {
            let (one, other) = (
                Template::parse(one).unwrap(),
                Template::parse(other).unwrap(),
            );
            assert_eq!(one.overlaps(&other), overlap, "{one:?} {other:?}");
            assert_eq!(other.overlaps(&one), overlap, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_malformed_template_is_refused() {
        for (text, error) in [
            ("v1", TemplateError::NoSlash),
            ("/v1//x", TemplateError::Empty),
            ("/v1/{}", TemplateError::Empty),
            ("/v1/x:", TemplateError::Empty),
            ("/v1/{a", TemplateError::Brace),
            ("/v1/{a}b", TemplateError::Brace),
            ("/v1/a{b}", TemplateError::Brace),
            ("/v1/**/x", TemplateError::RestNotLast),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }
}
