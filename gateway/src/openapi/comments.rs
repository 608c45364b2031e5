//! What the contracts say in words. The descriptors of this build have their comments; those that were loaded from elsewhere may not.

use prost_reflect::FileDescriptor;

/// The comment above what has this path in a file, on one line; empty where there is none.
pub(super) fn of(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let mut locations = info.iter().flat_map(|info| &info.location);
    let comment = locations
        .find(|location| location.path == path)
        .map(|location| location.leading_comments())
        .unwrap_or_default();
    comment.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A comment up to the end of its first sentence, without the full stop.
pub(super) fn first_sentence(comment: &str) -> &str {
    let first = comment.split_once(". ").map_or(comment, |(first, _)| first);
    first.trim_end_matches('.')
}

/// The value that a comment quotes as one that its field may have.
pub(super) fn example(comment: &str) -> Option<&str> {
    [" such as `", " or `", "Always `"]
        .iter()
        .find_map(|before| {
            let (_, quoted) = comment.split_once(before)?;
            quoted.split_once('`').map(|(value, _)| value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_one_line_without_its_marks() {
        let pool = grimoire_proto::descriptors();
        let login = pool
            .get_message_by_name("grimoire.auth.v1.LoginRequest")
            .unwrap();
        assert_eq!(of(&login.parent_file(), login.path()), "Signs in.");
        let service = pool
            .get_service_by_name("grimoire.auth.v1.AccountService")
            .unwrap();
        let register = service.methods().next().unwrap();
        let comment = of(&register.parent_file(), register.path());
        assert!(comment.starts_with("Sends a mail to the address: with a token"));
        assert!(!comment.contains('\n') && !comment.contains("  "));
        assert_eq!(of(&login.parent_file(), &[1, 2, 3]), "");
    }

    #[test]
    fn the_first_sentence_ends_at_its_full_stop() {
        assert_eq!(first_sentence("Signs in. A wrong one."), "Signs in");
        assert_eq!(first_sentence("One account."), "One account");
        assert_eq!(first_sentence(""), "");
    }

    #[test]
    fn a_quoted_value_is_an_example_where_the_comment_says_so() {
        assert_eq!(example("Account id, or `me`."), Some("me"));
        assert_eq!(example("A tag, such as `en` or `de-AT`."), Some("en"));
        assert_eq!(example("Always `Bearer`."), Some("Bearer"));
        assert_eq!(example("Which; `labels` as a whole."), None);
    }
}
