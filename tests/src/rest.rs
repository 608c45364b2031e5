//! A client of the gateway's REST side, as an application would write it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::api;

/// One client with an address of its own, so that limits per address stay at their production values.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    /// The body; null where it is empty or not JSON.
    pub body: Value,
    pub text: String,
}

/// The next address of this machine that nobody has come from.
pub fn next_address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // 127.64.0.0/10, a place of its own for each process and client.
    let number =
        (std::process::id() << 10).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) & 0x003f_ffff;
    Ipv4Addr::from(0x7f40_0000 | number.max(1)).into()
}

impl Client {
    /// A client of the gateway at `base`, such as `http://127.0.0.1:5000`, from the next free address of 127.0.0.0/8.
    pub fn new(base: &str) -> Self {
        Self::from_address(base, next_address())
    }

    /// A client that comes from `address`.
    pub fn from_address(base: &str, address: IpAddr) -> Self {
        let http = reqwest::Client::builder()
            .local_address(address)
            .timeout(Duration::from_secs(30))
            .user_agent("grimoire-tests")
            .build()
            .expect("a client");
        Self {
            http,
            base: base.to_owned(),
            token: None,
        }
    }

    /// The same client, sending this access token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The access token that it sends.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await.expect("an answer")
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string()))
            .await
            .expect("an answer")
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body.to_string()))
            .await
            .expect("an answer")
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None)
            .await
            .expect("an answer")
    }

    /// Any request; an error where no whole answer came.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> reqwest::Result<Answer> {
        self.send_as("application/json", method, path, body).await
    }

    /// Any request whose body, where it has one, claims this media type. Panics where the answer is one that the description of the API
    /// does not have.
    pub async fn send_as(
        &self,
        media_type: &str,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.request(method.clone(), path);
        if let Some(body) = body {
            request = request.header("content-type", media_type).body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let answer = Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        };
        if let Some(wrong) = api::undescribed(&method, path, &answer) {
            panic!("{wrong}");
        }
        Ok(answer)
    }

    /// Posts bytes of this media type; the answer is not read yet.
    pub(crate) async fn send_bytes(
        &self,
        media_type: &str,
        path: &str,
        body: Vec<u8>,
    ) -> reqwest::Result<reqwest::Response> {
        let request = self.request(Method::POST, path).body(body);
        request.header("content-type", media_type).send().await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

impl Answer {
    /// The body, where the status is 200; panics with the whole answer otherwise.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.body
    }

    /// Panics unless this is a problem document with this status and reason.
    pub fn problem(&self, status: u16, reason: &str) -> &Self {
        assert_eq!(
            (self.status.as_u16(), self.body["reason"].as_str()),
            (status, Some(reason)),
            "{}",
            self.text
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], u64::from(status), "{}", self.text);
        assert!(
            self.body["title"].is_string() && self.body["detail"].is_string(),
            "{}",
            self.text
        );
        assert!(
            self.body["traceId"]
                .as_str()
                .is_some_and(|id| id.len() == 32),
            "{}",
            self.text
        );
        self
    }

    /// The value of a header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}
