//! Names of events.

/// The name that people see: `LOGGED_IN` of `grimoire.events.v1.LoggedIn`.
pub(crate) fn name(event_type: &str) -> String {
    let message = event_type.rsplit('.').next().unwrap_or_default();
    let mut name = String::with_capacity(message.len() + 4);
    let mut after_small = false;
    for character in message.chars() {
        if character.is_ascii_uppercase() && after_small {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
        after_small = !character.is_ascii_uppercase();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_in_capitals_with_underscores() {
        assert_eq!(name("grimoire.events.v1.LoggedIn"), "LOGGED_IN");
        assert_eq!(
            name("grimoire.events.v1.RefreshReuseDetected"),
            "REFRESH_REUSE_DETECTED"
        );
        assert_eq!(name("ProfileUpdated"), "PROFILE_UPDATED");
    }
}
