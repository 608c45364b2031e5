//! Lists in pages. A page token holds the position after which the next page begins (keyset paging) and is bound to the list and
//! its filter; what is in it is no secret, because a forged one shows nothing that the list itself would not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::stream::{self, Stream, TryStreamExt as _};
use grimoire_proto::Reason;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;
use tracing::{Instrument as _, Span};

use crate::status::Failure;

/// Entries of a page when the request does not say.
pub const DEFAULT_SIZE: usize = 50;
/// Most entries of a page: larger wishes get this many.
pub const MAX_SIZE: usize = 200;

/// What a request asks of a list. `K` is the position of an entry: its sort keys, such as `(i64, Uuid)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// Entries of this page.
    pub size: usize,
    /// The position of the last entry before this page; none for the first page.
    pub after: Option<K>,
    list: u64,
}

impl<K: Serialize + DeserializeOwned> Page<K> {
    /// Reads `page_size` and `page_token` of a request. `list` names the list and everything that filters it, such as
    /// `["activities", account, type]`: a token of another list or filter is refused.
    ///
    /// INVALID_ARGUMENT with INVALID_FIELD for a negative size, INVALID_PAGE_TOKEN for a token that this list did not make.
    pub fn of(page_size: i32, page_token: &str, list: &[&str]) -> Result<Self, Status> {
        let list = checksum(list);
        Ok(Self {
            size: size(page_size)?,
            after: position(page_token, list)?,
            list,
        })
    }

    /// How many rows to read: one more than the page shows tells whether there is a next page.
    pub fn limit(&self) -> i64 {
        self.size as i64 + 1
    }

    /// Cuts what was read with [`Page::limit`] down to the page, and gives the token of the next page: empty on the last one.
    pub fn cut<T>(&self, rows: &mut Vec<T>, position: impl FnOnce(&T) -> K) -> String {
        if rows.len() <= self.size {
            return String::new();
        }
        rows.truncate(self.size);
        rows.last()
            .map(|last| self.token(&position(last)))
            .unwrap_or_default()
    }

    fn token(&self, position: &K) -> String {
        // Sort keys are numbers, texts and ids, which JSON has.
        serde_json::to_vec(&(self.list, position))
            .map(|json| URL_SAFE_NO_PAD.encode(json))
            .unwrap_or_default()
    }
}

/// Every row of a list, for an answer that is a stream. The next page is read when the rows of the one before were taken, so neither a long
/// list nor a slow reader holds more than [`MAX_SIZE`] rows, or a connection to the database. `read` gives at most as many rows as it is
/// told, those after a position where there is one; `position` is that of a row. Pages are read in the span of the caller.
pub fn all<K, T, E, F>(
    read: impl Fn(Option<K>, i64) -> F,
    position: fn(&T) -> K,
) -> impl Stream<Item = Result<T, E>>
where
    F: Future<Output = Result<Vec<T>, E>>,
{
    let span = Span::current();
    // Where the next page begins; none after the last one.
    let pages = stream::try_unfold(Some(None), move |next: Option<Option<K>>| {
        let page = next.map(|after| read(after, MAX_SIZE as i64));
        let rows = async move {
            let Some(page) = page else { return Ok(None) };
            let rows = page.await?;
            let next = (rows.len() >= MAX_SIZE).then(|| rows.last().map(position));
            Ok::<_, E>(Some((stream::iter(rows.into_iter().map(Ok::<T, E>)), next)))
        };
        rows.instrument(span.clone())
    });
    pages.try_flatten()
}

fn size(page_size: i32) -> Result<usize, Status> {
    match usize::try_from(page_size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err(Failure::new(Reason::InvalidField, "page_size is negative")
            .violation(
                "page_size",
                Reason::InvalidField.name(),
                "must be 0 or more",
            )
            .into()),
    }
}

fn position<K: DeserializeOwned>(token: &str, list: u64) -> Result<Option<K>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let decoded = URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|json| serde_json::from_slice::<(u64, K)>(&json).ok());
    match decoded {
        Some((made_for, position)) if made_for == list => Ok(Some(position)),
        _ => Err(Failure::new(
            Reason::InvalidPageToken,
            "page_token was not made by this list with this filter",
        )
        .violation(
            "page_token",
            Reason::InvalidPageToken.name(),
            "must be next_page_token of this list, with the same filter",
        )
        .into()),
    }
}

/// FNV-1a. A token must hold across replicas and releases, which std's hasher does not promise; it need not withstand anybody.
fn checksum(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    type Position = (i64, uuid::Uuid);

    fn page(size: i32, token: &str, list: &[&str]) -> Result<Page<Position>, Status> {
        Page::of(size, token, list)
    }

    fn reason(status: &Status) -> String {
        status.get_details_error_info().unwrap().reason
    }

    #[test]
    fn the_next_page_begins_after_the_last_entry() {
        let ids: Vec<Position> = (1..=5)
            .map(|number| (number, uuid::Uuid::from_u128(number as u128)))
            .collect();
        let first = page(2, "", &["activities", "a"]).unwrap();
        assert_eq!((first.limit(), first.after), (3, None));
        let mut rows = ids[..3].to_vec();
        let token = first.cut(&mut rows, |row| *row);
        assert_eq!(rows, ids[..2]);

        let second = page(2, &token, &["activities", "a"]).unwrap();
        assert_eq!(second.after, Some(ids[1]));
    }

    #[test]
    fn the_last_page_has_no_token() {
        let mut rows = vec![(1, uuid::Uuid::nil())];
        assert_eq!(page(1, "", &[]).unwrap().cut(&mut rows, |row| *row), "");
        assert_eq!(rows.len(), 1);
    }

    #[test]
    fn a_token_holds_for_its_own_list_and_filter_only() {
        let mut rows = vec![(1, uuid::Uuid::nil()), (2, uuid::Uuid::nil())];
        let token = page(1, "", &["activities", "a"])
            .unwrap()
            .cut(&mut rows, |row| *row);
        let token = token.as_str();
        for (token, list) in [
            (token, ["activities", "b"]),
            (token, ["records", "a"]),
            ("x", ["activities", "a"]),
            ("!", ["activities", "a"]),
        ] {
            let status = page(1, token, &list).unwrap_err();
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::InvalidArgument, "INVALID_PAGE_TOKEN"),
                "{token} {list:?}"
            );
        }
    }

    #[test]
    fn a_size_is_50_by_default_and_200_at_most() {
        let size = |wanted| page(wanted, "", &[]).map(|page| page.size);
        assert_eq!(
            (size(0).unwrap(), size(7).unwrap(), size(1_000).unwrap()),
            (50, 7, 200)
        );
        let status = size(-1).unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
    }

    /// The numbers below `end`, and how many pages of them were read.
    fn numbers(end: usize, pages: &Cell<usize>) -> impl Stream<Item = Result<usize, &'static str>> {
        let read = move |after: Option<usize>, limit: i64| {
            pages.set(pages.get() + 1);
            let begin = after.map_or(0, |last| last + 1);
            let rows: Vec<usize> = (begin..end).take(limit as usize).collect();
            async move { Ok(rows) }
        };
        all(read, |number: &usize| *number)
    }

    #[tokio::test]
    async fn all_rows_come_once_wherever_pages_end() {
        for end in [0, 1, MAX_SIZE - 1, MAX_SIZE, MAX_SIZE + 1, 2 * MAX_SIZE] {
            let pages = Cell::new(0);
            let rows: Vec<usize> = numbers(end, &pages).try_collect().await.unwrap();
            assert_eq!(rows, (0..end).collect::<Vec<_>>());
            assert_eq!(pages.get(), end / MAX_SIZE + 1, "{end}");
        }
    }

    #[tokio::test]
    async fn a_page_is_not_read_before_the_one_before_was_taken() {
        let pages = Cell::new(0);
        let mut rows = Box::pin(numbers(1_000, &pages));
        assert_eq!(pages.get(), 0);
        for taken in 0..MAX_SIZE {
            assert_eq!(rows.try_next().await, Ok(Some(taken)));
            assert_eq!(pages.get(), 1);
        }
        rows.try_next().await.unwrap();
        assert_eq!(pages.get(), 2);
    }

    #[tokio::test]
    async fn a_page_that_cannot_be_read_ends_the_list() {
        let read = |after: Option<usize>, limit: i64| async move {
            match after {
                None => Ok((0..limit as usize).collect::<Vec<usize>>()),
                Some(_) => Err("the database is away"),
            }
        };
        let mut rows = Box::pin(all(read, |number: &usize| *number));
        for taken in 0..MAX_SIZE {
            assert_eq!(rows.try_next().await, Ok(Some(taken)));
        }
        assert_eq!(rows.try_next().await, Err("the database is away"));
        assert_eq!(rows.try_next().await, Ok(None));
    }
}
