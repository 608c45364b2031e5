//! The mail that event-consumer wrote to .dev/mail, one RFC 5322 file each.

use std::fs;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::place;

#[derive(Debug, Args)]
pub(crate) struct Mail {
    /// Only mail to this address
    email: Option<String>,
    /// Print only the token that the mail carries
    #[arg(long)]
    token: bool,
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Mail {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let folder = place::instance()?.layout.mail();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(text) = self.newest(&folder)? {
                writeln!(
                    stdout(),
                    "{}",
                    if self.token {
                        token(&text).unwrap_or_default()
                    } else {
                        text.trim_end()
                    }
                )?;
                return Ok(ExitCode::SUCCESS);
            }
            if Instant::now() >= deadline {
                let what = if self.token {
                    "mail with a token"
                } else {
                    "mail"
                };
                let to = self
                    .email
                    .as_ref()
                    .map(|email| format!(" to {email}"))
                    .unwrap_or_default();
                bail!(
                    "no {what}{to} came within {} s: see ./dev status and ./dev logs event-consumer",
                    PATIENCE.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The newest that fits; with `--token`, of those that carry one.
    fn newest(&self, folder: &Path) -> Result<Option<String>> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
        {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "eml") {
                files.push((fs::metadata(&path)?.modified()?, path));
            }
        }
        files.sort();
        for (_, path) in files.into_iter().rev() {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let wanted = self.email.as_ref().is_none_or(|email| is_to(&text, email))
                && (!self.token || token(&text).is_some());
            if wanted {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

fn is_to(mail: &str, email: &str) -> bool {
    let head = mail
        .split("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .split("\n\n")
        .next()
        .unwrap_or_default();
    let to = head.lines().find_map(|line| {
        line.split_once(':')
            .filter(|(name, _)| name.eq_ignore_ascii_case("to"))
            .map(|(_, value)| value)
    });
    let to = to.unwrap_or_default().trim();
    let address = to
        .rsplit_once('<')
        .map_or(to, |(_, address)| address.trim_end_matches('>'));
    address.eq_ignore_ascii_case(email)
}

/// What stands on the line `token: ...`.
fn token(mail: &str) -> Option<&str> {
    mail.lines()
        .find_map(|line| line.trim().strip_prefix("token:"))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From: Grimoire <no-reply@example.com>\r\nTo: <ada@example.com>\r\nSubject: Welcome\r\n\r\nHello,\r\n\r\ntoken: v1.abc-DEF_9\r\n\r\nto: eve@example.com\r\n";

    #[test]
    fn the_token_stands_on_a_line_of_its_own() {
        assert_eq!(token(MAIL), Some("v1.abc-DEF_9"));
        assert_eq!(token("Subject: x\n\nthe token: is elsewhere\n"), None);
        assert_eq!(token("token: \n"), None);
    }

    #[test]
    fn the_recipient_is_read_from_the_head_alone() {
        assert!(is_to(MAIL, "Ada@example.com"));
        assert!(is_to("To: ada@example.com\n\n", "ada@example.com"));
        assert!(!is_to(MAIL, "eve@example.com"));
    }

    #[test]
    fn the_newest_mail_to_an_address_is_found() {
        let folder =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir(&folder).unwrap();
        let mut time = SystemTime::UNIX_EPOCH;
        for (name, text) in [
            ("b.eml", "To: a@x.y\n\ntoken: old\n"),
            ("a.eml", "To: a@x.y\n\ntoken: new\n"),
            ("c.eml", "To: b@x.y\n\ntoken: hers\n"),
            ("d.tmp", "To: a@x.y\n\n"),
        ] {
            fs::write(folder.join(name), text).unwrap();
            time += Duration::from_secs(1);
            fs::File::options()
                .write(true)
                .open(folder.join(name))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        let newest = Mail {
            email: Some("a@x.y".into()),
            token: true,
        }
        .newest(&folder)
        .unwrap()
        .unwrap();
        assert_eq!(token(&newest), Some("new"));
        assert!(
            Mail {
                email: Some("nobody@x.y".into()),
                token: false
            }
            .newest(&folder)
            .unwrap()
            .is_none()
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
