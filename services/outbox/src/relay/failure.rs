use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::time::timeout;

/// Why a session of the relay ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    #[error("PostgreSQL did not answer in time")]
    Unresponsive,
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("Kafka acknowledged nothing for {} s", super::publisher::STALLED_AFTER.as_secs())]
    Stalled,
    #[error("topic {topic} has {found} partitions and should have {expected}")]
    Partitions {
        topic: String,
        expected: i32,
        found: usize,
    },
    #[error(
        "the event {seq} (topic {topic}, key {key}) is larger than a record may be: nothing behind it is published until it is removed"
    )]
    TooLarge {
        seq: i64,
        topic: String,
        key: String,
    },
    #[error("another relay took the lease over")]
    LeaseLost,
    /// The cursor speaks of transaction ids that this database has not, or not any more.
    #[error(
        "this database was restored or failed over ({found}; the cursor is of {expected}): run `outbox rebase`, or `outbox resume` if nothing was lost"
    )]
    Rewound { expected: String, found: String },
    #[error("told to stop")]
    Stopped,
    #[error("ended by a failpoint")]
    Killed,
}

impl Failure {
    /// Label of the metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Failure::Database(_) | Failure::Unresponsive => "database",
            Failure::Kafka(_) | Failure::Stalled => "kafka",
            Failure::Partitions { .. } => "partitions",
            Failure::TooLarge { .. } => "record",
            Failure::LeaseLost => "lease",
            Failure::Rewound { .. } => "rewound",
            Failure::Stopped | Failure::Killed => "stopped",
        }
    }

    /// Whether only an operator can end it.
    pub(crate) fn needs_operator(&self) -> bool {
        matches!(
            self,
            Failure::Partitions { .. } | Failure::TooLarge { .. } | Failure::Rewound { .. }
        )
    }
}

/// What PostgreSQL answers, if it does: a connection can be lost without a word.
pub(crate) async fn answered<T, E: Into<Failure>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Failure::Unresponsive),
    }
}

/// Less than a lease lasts, and more than the `statement_timeout` of the relay's connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Says what went wrong once for as long as it stays the same.
#[derive(Default)]
pub(crate) struct Report {
    said: Option<String>,
}

impl Report {
    pub(crate) fn failed(&mut self, failure: &Failure) {
        // What an operator has to do may change, and what is only away has many words for it.
        let saying = if failure.needs_operator() {
            failure.to_string()
        } else {
            failure.kind().to_owned()
        };
        let said_before = self.said.as_ref() == Some(&saying);
        self.said = Some(saying);
        if said_before {
            tracing::debug!(error = %failure, "the relay still cannot publish");
        } else if failure.needs_operator() {
            tracing::error!(error = %failure, "the relay does not publish until an operator acts");
        } else {
            tracing::warn!(error = %failure, "the relay cannot publish and tries again");
        }
    }

    pub(crate) fn recovered(&mut self) {
        if self.said.take().is_some() {
            tracing::info!("the relay publishes again");
        }
    }
}
