//! A small SMTP server that keeps what it is given: RFC 5321 as far as one client in a test needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::served::listen;

/// A running server. It ends with the process.
pub struct Smtp {
    address: SocketAddr,
    mailbox: Arc<Mailbox>,
}

/// One mail. The same Message-ID may have come more than once: SMTP is at least once.
#[derive(Debug, Clone)]
pub struct Mail {
    pub message_id: String,
    pub recipient: String,
    /// Headers and body.
    pub text: String,
    /// How often it came.
    pub copies: u32,
}

impl Mail {
    /// Id of the event that led to it: the first part of its Message-ID.
    pub fn event(&self) -> Option<uuid::Uuid> {
        self.message_id
            .trim_matches(['<', '>'])
            .split('@')
            .next()?
            .parse()
            .ok()
    }

    /// The token that the mail carries.
    pub fn token(&self) -> Option<&str> {
        self.text
            .lines()
            .find_map(|line| line.trim().strip_prefix("token: "))
    }
}

#[derive(Default)]
struct Mailbox {
    by_message_id: Mutex<BTreeMap<String, Mail>>,
    changed: watch::Sender<()>,
}

impl Smtp {
    /// Listens on a free port of 127.0.0.1 as long as this process runs.
    pub fn start() -> Self {
        let mailbox = Arc::new(Mailbox::default());
        let accepted = mailbox.clone();
        let address = listen(async move |listener| {
            while let Ok((stream, _)) = listener.accept().await {
                let mailbox = accepted.clone();
                tokio::spawn(async move { session(stream, &mailbox).await });
            }
        });
        Self { address, mailbox }
    }

    /// Where to send mail: `smtp://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Every mail so far, one for each Message-ID.
    pub fn mails(&self) -> Vec<Mail> {
        self.mailbox
            .by_message_id
            .lock()
            .expect("no panic while locked")
            .values()
            .cloned()
            .collect()
    }

    /// The first mail to `recipient`, as soon as there is one; panics after a minute.
    pub async fn mail_to(&self, recipient: &str) -> Mail {
        self.mailbox.first(|mail| mail.recipient == recipient).await
    }

    /// As [`mail_to`](Self::mail_to), of those whose text has these words.
    pub async fn mail_that_says(&self, recipient: &str, words: &str) -> Mail {
        self.mailbox
            .first(|mail| mail.recipient == recipient && mail.text.contains(words))
            .await
    }

    /// The tokens of the mails to `recipient`, in the order in which they come.
    pub fn tokens_of(&self, recipient: &str) -> Tokens {
        Tokens {
            mailbox: self.mailbox.clone(),
            recipient: recipient.to_owned(),
            seen: BTreeSet::new(),
        }
    }
}

/// The tokens that come to one address.
pub struct Tokens {
    mailbox: Arc<Mailbox>,
    recipient: String,
    seen: BTreeSet<String>,
}

impl Tokens {
    /// The next one; panics when a minute brings none.
    pub async fn next(&mut self) -> String {
        let mail = self
            .mailbox
            .first(|mail| mail.recipient == self.recipient && !self.seen.contains(&mail.message_id))
            .await;
        self.seen.insert(mail.message_id.clone());
        mail.token().expect("a token").to_owned()
    }
}

async fn session(stream: TcpStream, mailbox: &Mailbox) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 fake\r\n").await.ok()?;
    let mut recipient = String::new();
    while let Some(line) = lines.next_line().await.ok()? {
        let verb = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-fake\r\n250 8BITMIME\r\n",
            "QUIT" => {
                writer.write_all(b"221 bye\r\n").await.ok()?;
                return None;
            }
            "RCPT" => {
                recipient = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                b"250 ok\r\n"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await.ok()?;
                let mut text = String::new();
                loop {
                    let line = lines.next_line().await.ok()??;
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
                mailbox.keep(&recipient, text);
                b"250 kept\r\n"
            }
            _ => b"250 ok\r\n",
        };
        writer.write_all(answer).await.ok()?;
    }
    None
}

impl Mailbox {
    async fn first(&self, wanted: impl Fn(&Mail) -> bool) -> Mail {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                let mails = self
                    .by_message_id
                    .lock()
                    .expect("no panic while locked")
                    .clone();
                if let Some(mail) = mails.into_values().find(&wanted) {
                    return mail;
                }
                changed
                    .changed()
                    .await
                    .expect("the mailbox outlives its readers");
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found)
            .await
            .expect("a minute brings the mail")
    }

    fn keep(&self, recipient: &str, text: String) {
        let message_id = text
            .lines()
            .find_map(|line| line.strip_prefix("Message-ID:"))
            .map(|id| id.trim().to_owned())
            .unwrap_or_default();
        self.by_message_id
            .lock()
            .expect("no panic while locked")
            .entry(message_id.clone())
            .and_modify(|mail| mail.copies += 1)
            .or_insert(Mail {
                message_id,
                recipient: recipient.to_owned(),
                text,
                copies: 1,
            });
        self.changed.send_replace(());
    }
}
