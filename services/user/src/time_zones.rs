//! The IANA time zones that the database knows.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::PgExecutor;

/// Names of time zones, read once: PostgreSQL walks its files for each reading of the view.
#[derive(Debug, Clone)]
pub(crate) struct TimeZones(Arc<HashSet<String>>);

impl TimeZones {
    pub(crate) async fn read(db: impl PgExecutor<'_>) -> sqlx::Result<Self> {
        // Files of a system's zone folder that are no zones, and copies of zones with and without leap seconds.
        let names = sqlx::query_scalar!(
            r#"select name as "name!"
               from pg_timezone_names
               where name !~ '^(posix|right)/' and name not in ('localtime', 'posixrules', 'Factory')"#
        )
        .fetch_all(db)
        .await?;
        Ok(Self(Arc::new(names.into_iter().collect())))
    }

    /// Whether `name` is a time zone, in exactly this spelling.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    #[cfg(test)]
    pub(crate) fn of<const N: usize>(names: [&str; N]) -> Self {
        Self(Arc::new(names.map(str::to_owned).into()))
    }
}
