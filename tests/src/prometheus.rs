//! A real Prometheus with the configuration of the repository. It scrapes a system of a test, each second.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use launcher::observers;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::stack::{TestStack, root};

/// A running Prometheus. It is killed, and what it stored is removed, when this is dropped.
pub struct Prometheus {
    address: SocketAddr,
    http: reqwest::Client,
    folder: PathBuf,
    process: Child,
}

impl Prometheus {
    /// Starts one for a system, and for more targets by their job.
    pub async fn start(system: &TestStack, more: &[(&str, SocketAddr)]) -> Self {
        let folder = root()
            .join(".dev/test")
            .join(format!("prometheus-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("prometheus.yaml");
        fs::write(&file, configuration(system, more)).expect("a file");
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("prometheus cannot be started: {error}. It is in Debian's package: apt-get install prometheus (macOS: brew install prometheus)")
            });
        let mut lines = BufReader::new(process.stderr.take().expect("an output")).lines();
        let mut said = String::new();
        let address = loop {
            let line = lines.next_line().await.expect("an output");
            let line = line.unwrap_or_else(|| panic!("prometheus ends before it listens:\n{said}"));
            if let Some(address) = listening(&line) {
                break address;
            }
            said.push_str(&line);
            said.push('\n');
        };
        // A pipe that nobody empties would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            address,
            http: reqwest::Client::new(),
            folder,
            process,
        }
    }

    /// The samples that an expression has now; why there are none, where it cannot be evaluated.
    pub async fn ask(&self, expr: &str) -> Result<Vec<f64>, String> {
        let answer = self
            .http
            .post(format!("http://{}/api/v1/query", self.address))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("query={}", encoded(expr)))
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let answer = answer.text().await.map_err(|error| error.to_string())?;
        let answer: Value =
            serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
        let Some(result) = answer["data"]["result"].as_array() else {
            return Err(answer["error"].to_string());
        };
        Ok(result
            .iter()
            .filter_map(|series| series["value"][1].as_str()?.parse().ok())
            .collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // What it still writes on its way out goes with `.dev/test` at the next run.
        let _ = self.process.start_kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The configuration of the repository with the ports of this system, a second in the place of each interval, and more jobs.
fn configuration(system: &TestStack, more: &[(&str, SocketAddr)]) -> String {
    observers::prometheus(system.stack.instance(), more)
        .expect("observability/prometheus/prometheus.yaml")
        .replace("15s", "1s")
}

/// The address in a line of its log that tells where it listens.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, behind) = line.split_once("msg=\"Listening on\"")?;
    let (_, address) = behind.split_once("address=")?;
    address
        .split([' ', '"'])
        .find(|part| !part.is_empty())?
        .parse()
        .ok()
}

/// Percent-encoded, but for letters and digits.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
