use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use lettre::transport::smtp::response::{Detail, Severity};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

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

#[tokio::test]
async fn a_mail_that_was_given_up_leaves_its_answer_to_no_other() {
    let server = Server::start([(When::Told, "250 kept"), (When::AtOnce, "451 later")]).await;
    let delivery = server.delivery();
    let given_up = send(&delivery).await.unwrap_err();
    assert!(
        matches!(given_up, DeliveryError::Unclear(_)),
        "{given_up:?}"
    );
    server.go_on.notify_one();
    let put_off = send(&delivery).await.unwrap_err();
    assert!(matches!(put_off, DeliveryError::NotTaken(_)), "{put_off:?}");
}

#[tokio::test]
async fn a_server_that_is_silent_to_everybody_has_taken_nothing() {
    // The kernel takes connections, and nobody else does.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = send(&delivery(&listener)).await.unwrap_err();
    assert!(matches!(away, DeliveryError::NotTaken(_)), "{away:?}");
}

#[tokio::test]
async fn a_refusal_is_for_good_only_of_a_server_that_takes_mail() {
    let answers = ["550 no such user", "250 kept", "550 no such user"];
    let server = Server::start(answers.map(|answer| (When::AtOnce, answer))).await;
    let delivery = server.delivery();
    let first = send(&delivery).await.unwrap_err();
    assert!(matches!(first, DeliveryError::Doubtful(_)), "{first:?}");
    send(&delivery).await.unwrap();
    let refused = send(&delivery).await.unwrap_err();
    assert!(refused.is_permanent(), "{refused:?}");
}

#[test]
fn a_server_that_has_taken_no_mail_for_long_is_not_believed() {
    let code = Code::new(
        Severity::PermanentNegativeCompletion,
        Category::MailSystem,
        Detail::Zero,
    );
    let (taken_at, now) = (Mutex::new(None), Instant::now());
    weigh(&taken_at, now, Ok(())).unwrap();
    let refused = |after| {
        let refusal = Err(DeliveryError::Refused(code));
        weigh(&taken_at, now + after, refusal).unwrap_err()
    };
    assert!(refused(BELIEVED - Duration::from_secs(1)).is_permanent());
    assert!(matches!(refused(BELIEVED), DeliveryError::Doubtful(_)));
}

async fn send(delivery: &Delivery) -> Result<(), DeliveryError> {
    let address = "zoe@example.com";
    delivery
        .send(Uuid::now_v7(), SystemTime::UNIX_EPOCH, address, letter())
        .await
}

fn delivery(listener: &TcpListener) -> Delivery {
    let (patience, from) = (
        Duration::from_millis(500),
        "hello@example.com".parse().unwrap(),
    );
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    Delivery::smtp_within(patience, from, &url).unwrap()
}

/// When a server answers the last line of a mail.
#[derive(Clone, Copy)]
enum When {
    AtOnce,
    Told,
}

type Answers = Arc<Mutex<VecDeque<(When, &'static str)>>>;

/// A mail server with an answer for each mail, in the order in which they come.
struct Server {
    listener: Arc<TcpListener>,
    go_on: Arc<Notify>,
}

impl Server {
    async fn start<const N: usize>(answers: [(When, &'static str); N]) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (answers, go_on): (Answers, _) = (
            Arc::new(Mutex::new(answers.into())),
            Arc::new(Notify::new()),
        );
        let (accepting, told) = (listener.clone(), go_on.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = accepting.accept().await {
                tokio::spawn(session(stream, answers.clone(), told.clone()));
            }
        });
        Self { listener, go_on }
    }

    fn delivery(&self) -> Delivery {
        delivery(&self.listener)
    }
}

async fn session(stream: TcpStream, answers: Answers, told: Arc<Notify>) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut answer, mut in_mail) = ("220 test", false);
    loop {
        let said = writer.write_all(format!("{answer}\r\n").as_bytes()).await;
        if said.is_err() {
            return;
        }
        let line = loop {
            match lines.next_line().await {
                Ok(Some(line)) if in_mail && line != "." => {}
                Ok(Some(line)) => break line,
                _ => return,
            }
        };
        answer = "250 ok";
        if line == "DATA" {
            (in_mail, answer) = (true, "354 go on");
        } else if line == "." {
            let (when, last) = answers.lock().unwrap().pop_front().unwrap();
            if matches!(when, When::Told) {
                told.notified().await;
            }
            (in_mail, answer) = (false, last);
        }
    }
}
