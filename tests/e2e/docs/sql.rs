//! What an operator is told to type into a database is understood by it.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::stack::shared;

use super::blocks::blocks;

#[tokio::test]
async fn the_statements_of_the_guides_are_understood_by_the_database_that_they_are_for() {
    let stack = shared().await;
    let mut run = 0;
    for block in blocks().into_iter().filter(|block| block.info == "sql") {
        let name = block
            .text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("-- ./dev psql "))
            .unwrap_or_else(|| panic!("{}: which database?\n{}", block.document, block.text));
        let url = stack
            .stack
            .instance()
            .database_url(name)
            .expect("a database");
        let mut database = PgConnection::connect(&url).await.expect("it is up");
        // Words in capitals name no subscriber, topic or key, so nothing is changed.
        sqlx::raw_sql(AssertSqlSafe(block.text.clone()))
            .execute(&mut database)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", block.document, block.text));
        run += 1;
    }
    assert!(run > 0);
}
