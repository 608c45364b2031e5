//! How mail leaves: over SMTP, or into a folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Body, Mailbox};
use lettre::transport::smtp::response::{Category, Code};
use lettre::transport::smtp::{self, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::time::timeout;
use uuid::Uuid;

use crate::mail::letter::Letter;

/// Sends mail from one address.
pub(crate) struct Delivery {
    from: Mailbox,
    way: Way,
}

enum Way {
    Smtp {
        transport: AsyncSmtpTransport<Tokio1Executor>,
        /// For one mail.
        patience: Duration,
        /// When a mail was last taken.
        taken_at: Mutex<Option<Instant>>,
    },
    Folder(PathBuf),
}

/// Why a mail did not leave.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    #[error("the mail cannot be addressed or built: {0}")]
    Unsendable(String),
    #[error("the mail server refused it for good, with {0}")]
    Refused(Code),
    #[error(
        "the mail server refused it with {0}, and has taken no other mail of late: it may refuse them all"
    )]
    Doubtful(Code),
    #[error("the mail server did not take it: {0}")]
    NotTaken(String),
    /// Perhaps it arrives, perhaps it does not.
    #[error("the mail server may have taken it: {0}")]
    Unclear(String),
    #[error("{}: {source}", .folder.display())]
    Folder { folder: PathBuf, source: io::Error },
}

impl DeliveryError {
    /// Whether another attempt makes no sense.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::Unsendable(_) | Self::Refused(_))
    }
}

impl Delivery {
    /// Delivers to the mail server at `url`, such as `smtps://user:password@mail.example.com`.
    pub(crate) fn smtp(from: Mailbox, url: &str) -> Result<Self, smtp::Error> {
        Self::smtp_within(SENDING, from, url)
    }

    fn smtp_within(patience: Duration, from: Mailbox, url: &str) -> Result<Self, smtp::Error> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)?
            .timeout(Some(CONNECTING))
            // A mail that was given up leaves an answer unread: on a connection that is used again the next mail would take it
            // for its own.
            .pool_config(PoolConfig::new().max_size(0))
            .build();
        Ok(Self {
            from,
            way: Way::Smtp {
                transport,
                patience,
                taken_at: Mutex::new(None),
            },
        })
    }

    /// Writes mails into `folder`, which is made where it is missing.
    pub(crate) fn folder(from: Mailbox, folder: PathBuf) -> Result<Self, DeliveryError> {
        fs::create_dir_all(&folder).map_err(|source| DeliveryError::Folder {
            folder: folder.clone(),
            source,
        })?;
        Ok(Self {
            from,
            way: Way::Folder(folder),
        })
    }

    /// Sends `letter` to `address`. Sending again for the same event repeats the same mail: Message-ID, date and, in a folder,
    /// the file are those of the event.
    pub(crate) async fn send(
        &self,
        event: Uuid,
        time: SystemTime,
        address: &str,
        letter: Letter,
    ) -> Result<(), DeliveryError> {
        let message = self.message(event, time, address, letter)?;
        match &self.way {
            Way::Smtp {
                transport,
                patience,
                taken_at,
            } => {
                let sent = over_smtp(transport, *patience, message).await;
                weigh(taken_at, Instant::now(), sent)
            }
            Way::Folder(folder) => {
                let failed = |source| DeliveryError::Folder {
                    folder: folder.clone(),
                    source,
                };
                let (target, bytes) = (folder.clone(), message.formatted());
                tokio::task::spawn_blocking(move || write_file(&target, event, &bytes))
                    .await
                    .map_err(|error| failed(io::Error::other(error)))?
                    .map_err(failed)
            }
        }
    }

    fn message(
        &self,
        event: Uuid,
        time: SystemTime,
        address: &str,
        letter: Letter,
    ) -> Result<Message, DeliveryError> {
        let unsendable =
            |error: &dyn std::fmt::Display| DeliveryError::Unsendable(error.to_string());
        let address = address
            .parse::<Address>()
            .map_err(|error| unsendable(&error))?;
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .date(time.max(SystemTime::UNIX_EPOCH)) // lettre panics at an earlier one
            .message_id(Some(format!("<{event}@{}>", self.from.email.domain())))
            .subject(letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(body(letter.body))
            .map_err(|error| unsendable(&error))
    }
}

/// ASCII goes as it is, up to what RFC 5322 allows for a line: lettre would wrap a line of 76 characters, and a link or a call
/// in it could no longer be read by a script or copied from the file.
fn body(text: String) -> Body {
    if text.is_ascii() && text.lines().all(|line| line.len() <= LINE) {
        let lines = text.replace('\n', "\r\n").into_bytes();
        return Body::dangerous_pre_encoded(lines, ContentTransferEncoding::SevenBit);
    }
    Body::new(text)
}

/// Characters of a line (RFC 5322, section 2.1.1).
const LINE: usize = 998;

/// For one mail over SMTP, from connecting to the answer to its last line: filters take their time for that. RFC 5321 asks
/// for more (section 4.5.3.2), but other mails wait meanwhile.
const SENDING: Duration = Duration::from_secs(60);
/// To connect to the mail server.
const CONNECTING: Duration = Duration::from_secs(10);
/// To find out whether the mail server answers at all.
const PROBE: Duration = Duration::from_secs(10);
/// What the delivery of one mail may take in all.
pub(crate) const LONGEST: Duration = SENDING.saturating_add(PROBE);

/// A server that refuses every mail is set up wrongly, or we are. One that has taken a mail of late knows which addresses it has not.
fn weigh(
    taken_at: &Mutex<Option<Instant>>,
    now: Instant,
    sent: Result<(), DeliveryError>,
) -> Result<(), DeliveryError> {
    let mut taken_at = taken_at.lock().unwrap_or_else(PoisonError::into_inner);
    match sent {
        Ok(()) => *taken_at = Some(now),
        Err(DeliveryError::Refused(code))
            if !taken_at.is_some_and(|taken_at| now - taken_at < BELIEVED) =>
        {
            return Err(DeliveryError::Doubtful(code));
        }
        Err(_) => {}
    }
    sent
}

/// How long refusals are believed after a mail that was taken.
const BELIEVED: Duration = Duration::from_secs(600);

/// What a server says beside its code may name the address, which logs and the database are not to hold.
async fn over_smtp(
    transport: &AsyncSmtpTransport<Tokio1Executor>,
    patience: Duration,
    message: Message,
) -> Result<(), DeliveryError> {
    let silence = match timeout(patience, transport.send(message)).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => match error.status() {
            // 5xx, but for 53x, which refuses our password and not the mail.
            Some(code) if error.is_permanent() && code.category != Category::Unspecified3 => {
                return Err(DeliveryError::Refused(code));
            }
            Some(code) => return Err(DeliveryError::NotTaken(format!("it answered {code}"))),
            None => error.to_string(),
        },
        Err(_) => format!("it gave no answer within {patience:?}"),
    };
    // A server that is silent to everybody is away. One that is not was silent about this mail, perhaps after it had all of it.
    match timeout(patience.min(PROBE), transport.test_connection()).await {
        Ok(Ok(true)) => Err(DeliveryError::Unclear(silence)),
        _ => Err(DeliveryError::NotTaken(silence)),
    }
}

/// Complete or not at all, also for who watches the folder.
fn write_file(folder: &Path, event: Uuid, mail: &[u8]) -> io::Result<()> {
    let unfinished = folder.join(format!(".{event}.unfinished"));
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(mail)?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(format!("{event}.eml")))?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
