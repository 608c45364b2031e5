//! A mail server: RFC 5321 as far as one client needs it. It refuses `gone@..` for good and `busy@..` the first time, and takes
//! mail for `lost@..` without a word.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A mail that was taken: its recipient, and headers and body as they came.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) recipient: String,
    pub(crate) text: String,
}

/// A running server. It ends with the runtime of the test.
pub(crate) struct Smtp {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    mails: Vec<Mail>,
    put_off: Vec<String>,
}

impl Smtp {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(session(stream, shared.clone()));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Mails to `recipient`, as often as they came.
    pub(crate) fn mails_to(&self, recipient: &str) -> Vec<Mail> {
        self.state
            .lock()
            .unwrap()
            .mails
            .iter()
            .filter(|mail| mail.recipient == recipient)
            .cloned()
            .collect()
    }
}

async fn session(stream: TcpStream, state: Arc<Mutex<State>>) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut recipient = String::new();
    let mut answer = "220 test";
    loop {
        if writer
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .is_err()
        {
            return;
        }
        let Ok(Some(line)) = lines.next_line().await else {
            return;
        };
        answer = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250 test",
            "RCPT" => {
                recipient = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                state.lock().unwrap().verdict(&recipient)
            }
            "DATA" => {
                if writer.write_all(b"354 go on\r\n").await.is_err() {
                    return;
                }
                let mut text = String::new();
                while let Ok(Some(line)) = lines.next_line().await
                    && line != "."
                {
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
                state.lock().unwrap().mails.push(Mail {
                    recipient: recipient.clone(),
                    text,
                });
                if recipient.starts_with("lost") {
                    return;
                }
                "250 kept"
            }
            _ => "250 ok",
        };
    }
}

impl State {
    fn verdict(&mut self, recipient: &str) -> &'static str {
        if recipient.starts_with("gone") {
            "550 5.1.1 no such mailbox"
        } else if recipient.starts_with("busy")
            && !self.put_off.iter().any(|known| known == recipient)
        {
            self.put_off.push(recipient.to_owned());
            "451 4.7.1 later"
        } else {
            "250 ok"
        }
    }
}
