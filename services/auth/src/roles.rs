//! The names of roles. Which there are is the product's decision; `admin` alone means something here.

use crate::error::Violation;

/// Administrators: the role that the contracts ask for.
pub(crate) const ADMIN: &str = "admin";
/// More would make access tokens longer than gateways read.
const MOST: usize = 32;

/// Whether it is 1 to 32 small letters, digits and hyphens.
pub(crate) fn is_name(role: &str) -> bool {
    (1..=32).contains(&role.len())
        && role
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The roles of an account as they are kept: sorted, each once.
pub(crate) fn list(mut roles: Vec<String>) -> Result<Vec<String>, Violation> {
    if let Some(index) = roles.iter().position(|role| !is_name(role)) {
        return Err(Violation::new(
            format!("roles[{index}]"),
            "is not the name of a role, such as admin",
        ));
    }
    roles.sort();
    roles.dedup();
    if roles.len() > MOST {
        return Err(Violation::new(
            "roles",
            format!("has more than {MOST} entries"),
        ));
    }
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn roles_are_sorted_and_each_is_there_once() {
        assert_eq!(
            list(words(&["editor", "admin", "editor"])),
            Ok(words(&["admin", "editor"]))
        );
        assert_eq!(list(Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_name_of_a_role_is_named_by_its_place() {
        for wrong in ["", "Admin", "a,b", "a b", "ädmin", &"a".repeat(33)] {
            let refusal = list(words(&["admin", wrong])).unwrap_err();
            assert_eq!(refusal.field, "roles[1]", "{wrong}");
        }
    }

    #[test]
    fn an_account_has_32_roles_at_most() {
        let roles = |number: usize| (0..number).map(|role| format!("role-{role}")).collect();
        assert!(list(roles(32)).is_ok());
        assert_eq!(list(roles(33)).unwrap_err().field, "roles");
    }
}
