//! How mail leaves: over SMTP, or into a folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Body, Mailbox};
use lettre::transport::smtp::response::{Category, Code};
use lettre::transport::smtp::{self, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use uuid::Uuid;

use crate::mail::letter::Letter;

/// Sends mail from one address.
pub(crate) struct Delivery {
    from: Mailbox,
    way: Way,
}

enum Way {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Folder(PathBuf),
}

/// Why a mail did not leave.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    #[error("the mail cannot be addressed or built: {0}")]
    Unsendable(String),
    #[error("the mail server refused it for good, with {0}")]
    Refused(Code),
    #[error("the mail server did not take it: {0}")]
    NotTaken(String),
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
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)?
            .timeout(Some(COMMAND_TIMEOUT))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS))
            .build();
        Ok(Self {
            from,
            way: Way::Smtp(transport),
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
            Way::Smtp(transport) => match transport.send(message).await {
                Ok(_) => Ok(()),
                Err(error) => Err(not_sent(&error)),
            },
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

/// For each answer of the mail server.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// As many mails as are sent at a time.
const CONNECTIONS: u32 = 8;

/// What a server says beside its code may name the address, which logs and the database are not to hold.
fn not_sent(error: &smtp::Error) -> DeliveryError {
    match error.status() {
        // 5xx, but for 53x, which refuses our password and not the mail.
        Some(code) if error.is_permanent() && code.category != Category::Unspecified3 => {
            DeliveryError::Refused(code)
        }
        Some(code) => DeliveryError::NotTaken(format!("it answered {code}")),
        None => DeliveryError::NotTaken(error.to_string()),
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
mod tests {
    use super::*;

    const LINK: &str = "https://app.example.com/a/page/with/a/rather/long/address/that/needs/more/than/a/line?token=abc";

    fn letter() -> Letter {
        Letter {
            subject: "Finish your registration",
            body: format!("Hello,\n\ntoken: abc\n{LINK}\n"),
        }
    }

    #[tokio::test]
    async fn a_mail_in_a_folder_is_named_by_its_event_and_written_once() {
        let folder = std::env::temp_dir().join(format!("grimoire-mail-{}", Uuid::now_v7()));
        let delivery = Delivery::folder(
            "Grimoire <hello@example.com>".parse().unwrap(),
            folder.join("mail"),
        )
        .unwrap();
        let event = Uuid::now_v7();
        for _ in 0..2 {
            delivery
                .send(event, SystemTime::UNIX_EPOCH, "zoe@example.com", letter())
                .await
                .unwrap();
        }
        let files: Vec<_> = fs::read_dir(folder.join("mail"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files, [format!("{event}.eml").as_str()]);
        let mail = fs::read_to_string(folder.join("mail").join(&files[0])).unwrap();
        for line in [
            "To: zoe@example.com",
            &format!("Message-ID: <{event}@example.com>"),
            "Date: Thu, 01 Jan 1970 00:00:00 +0000",
            "Subject: Finish your registration",
            "Content-Transfer-Encoding: 7bit",
            "token: abc",
            LINK,
        ] {
            assert!(mail.lines().any(|found| found == line), "{line} in\n{mail}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_for_good() {
        let delivery =
            Delivery::folder("hello@example.com".parse().unwrap(), std::env::temp_dir()).unwrap();
        let error = delivery
            .send(
                Uuid::now_v7(),
                SystemTime::UNIX_EPOCH,
                "zoe\r\nBcc: x@example.com",
                letter(),
            )
            .await
            .unwrap_err();
        assert!(error.is_permanent());
    }
}
