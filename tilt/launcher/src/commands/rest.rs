//! Calls to the gateway, as any client makes them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use launcher::instance::Instance;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(crate) fn new(instance: &Instance) -> Result<Self> {
        Self::build(instance, reqwest::Client::builder())
    }

    /// A client with a loopback address of its own, where the system has more than one: limits are per address.
    pub(crate) fn numbered(instance: &Instance, number: u32) -> Result<Self> {
        let [_, b, c, d] = (number + 1).to_be_bytes();
        let address = cfg!(target_os = "linux").then_some(IpAddr::V4(Ipv4Addr::new(
            127,
            32 | (b & 31),
            c,
            d,
        )));
        Self::build(instance, reqwest::Client::builder().local_address(address))
    }

    fn build(instance: &Instance, builder: reqwest::ClientBuilder) -> Result<Self> {
        let http = builder
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self {
            http,
            base: format!("http://{}", instance.address("gateway")?),
        })
    }

    /// Signs in and gives the access token.
    pub(crate) async fn login(&self, email: &str, password: &str) -> Result<String> {
        let answer = self
            .call(
                Method::POST,
                "/v1/sessions:login",
                None,
                &json!({"email": email, "password": password}),
            )
            .await?;
        answer["tokens"]["accessToken"]
            .as_str()
            .map(str::to_owned)
            .context("the answer to the login has no accessToken")
    }

    /// Calls, with a body unless it is null, waiting as long as a limit says; the answer's JSON.
    ///
    /// # Errors
    /// With status, reason and detail of a problem document.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Result<Value> {
        loop {
            let mut request = self
                .http
                .request(method.clone(), format!("{}{path}", self.base));
            if !body.is_null() {
                request = request.json(body);
            }
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let response = request.send().await.with_context(|| {
                format!(
                    "the gateway at {} does not answer: is ./dev up running?",
                    self.base
                )
            })?;
            let status = response.status();
            let retry = response
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            let answer: Value = response.json().await.unwrap_or_default();
            match (status, retry) {
                (StatusCode::TOO_MANY_REQUESTS, Some(seconds)) if seconds <= 60 => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await
                }
                (status, _) if status.is_success() => return Ok(answer),
                _ => bail!(
                    "{method} {path} answered {status}: {} {}",
                    text(&answer, "reason"),
                    text(&answer, "detail")
                ),
            }
        }
    }
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_default()
}
