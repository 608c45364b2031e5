//! ProfileService.SearchProfiles: by the name alone, and no more of a person than everybody may see.

use chassis::page::Page;
use grimoire_proto::user::v1::{PublicProfile, SearchProfilesRequest, SearchProfilesResponse};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::{Error, Violation};
use crate::profile;
use crate::store::profiles::{self, FoundRow};

pub(super) async fn search_profiles(
    pool: &PgPool,
    request: &SearchProfilesRequest,
) -> Result<SearchProfilesResponse, Error> {
    let query = request.query.as_str();
    if let Some(wrong) = wrong(query) {
        return Err(Error::InvalidFields(vec![Violation::new("query", wrong)]));
    }
    let list = ["profiles", query];
    let page = Page::<Position>::of(request.page_size, &request.page_token, &list)?;

    let mut rows = match profiles::resembling(pool, query, page.after, page.limit()).await {
        Err(error) if took_too_long(&error) => return Err(Error::SearchTooWide),
        rows => rows?,
    };
    let next_page_token = page.cut(&mut rows, |row| (row.rank, row.id));
    Ok(SearchProfilesResponse {
        profiles: rows.into_iter().map(message).collect(),
        next_page_token,
    })
}

/// Where a page ends: rank, id.
type Position = (i32, Uuid);

/// Letters and digits of a query at least. Two are a whole name in some languages.
const LEAST: usize = 2;

/// What is wrong with a query.
fn wrong(query: &str) -> Option<&'static str> {
    if !profile::is_line(query, profile::DISPLAY_NAME) {
        return Some("is longer than 100 characters, or holds control characters");
    }
    let letters = query.chars().filter(|letter| letter.is_alphanumeric());
    (letters.count() < LEAST).then_some("has fewer than 2 letters or digits")
}

fn took_too_long(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("57014"))
}

fn message(row: FoundRow) -> PublicProfile {
    PublicProfile {
        id: row.id.to_string(),
        display_name: row.display_name,
        avatar_uri: row.avatar_uri,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_something_of_a_name() {
        for sound in [
            "Ad",
            "al-Khwarizmi",
            "\u{5c71}\u{7530}",
            " d'A ",
            &"a".repeat(100),
        ] {
            assert_eq!(wrong(sound), None, "{sound}");
        }
        for unsound in ["", "a", "*a*", "%%", "two\nlines", &"a".repeat(101)] {
            assert!(wrong(unsound).is_some(), "{unsound}");
        }
    }
}
