//! Any method of the contracts, called in every way that there is.

use grimoire_proto::Reason;
use grimoire_proto::access;
use grimoire_proto::http::{self, HttpRule, Pattern};
use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use reqwest::Method;
use tests::grpc_web::Encoding;
use tests::rest::{Answer, Client};
use tests::stack::{Person, TestStack};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{channel, path, refused, with};

/// Somebody at the gateway. Each call comes from an address that nobody has come from, so that no budget of an address is in the way.
pub(super) struct Visitor<'a> {
    stack: &'a TestStack,
    token: Option<String>,
}

impl<'a> Visitor<'a> {
    /// Without a token.
    pub(super) fn nobody(stack: &'a TestStack) -> Self {
        Self { stack, token: None }
    }

    pub(super) fn with_token(stack: &'a TestStack, token: &str) -> Self {
        let token = Some(token.to_owned());
        Self { stack, token }
    }

    pub(super) fn of(stack: &'a TestStack, person: &Person) -> Self {
        let token = person.tokens["accessToken"].as_str();
        Self::with_token(stack, token.expect("a token"))
    }

    /// Panics unless every way to call the method for an account is refused for this reason, with the codes that go with it.
    pub(super) async fn is_refused(&self, method: &MethodDescriptor, account: &str, reason: &str) {
        let told = self.told(method, account).await;
        let expected = [(); 4].map(|()| Some(reason.to_owned()));
        assert_eq!(told, expected, "{} of {account}", method.full_name());
    }

    /// Why REST, gRPC and the two encodings of gRPC-Web refuse the method for an account; none where they answer.
    pub(super) async fn told(
        &self,
        method: &MethodDescriptor,
        account: &str,
    ) -> [Option<String>; 4] {
        let message = message(method, account);
        [
            rest(&self.client(), method, account).await,
            self.grpc(method, &message).await,
            self.web(Encoding::Binary, method, &message).await,
            self.web(Encoding::Text, method, &message).await,
        ]
    }

    /// Why gRPC and the two encodings of gRPC-Web refuse the method with any message.
    pub(super) async fn told_of(
        &self,
        method: &MethodDescriptor,
        message: &(impl Message + Clone + 'static),
    ) -> [Option<String>; 3] {
        [
            self.grpc(method, message).await,
            self.web(Encoding::Binary, method, message).await,
            self.web(Encoding::Text, method, message).await,
        ]
    }

    pub(super) fn client(&self) -> Client {
        let client = self.stack.client();
        match &self.token {
            Some(token) => client.with_token(token),
            None => client,
        }
    }

    async fn grpc(
        &self,
        method: &MethodDescriptor,
        message: &(impl Message + Clone + 'static),
    ) -> Option<String> {
        let channel = channel(self.stack, "gateway").await;
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let metadata = bearer.as_ref().map(|bearer| ("authorization", &**bearer));
        let metadata: Vec<_> = metadata.into_iter().collect();
        call(&channel, method, message.clone(), &metadata).await
    }

    async fn web(
        &self,
        encoding: Encoding,
        method: &MethodDescriptor,
        message: &impl Message,
    ) -> Option<String> {
        let client = self.client();
        let path = path(method);
        let called = client.grpc_web_stream(encoding, &path, message).await;
        called.err().map(|status| reason(&status))
    }
}

/// Makes a call over gRPC: why it is refused, or none. What is answered is read to its end, unless the client could send more.
pub(super) async fn call(
    channel: &Channel,
    method: &MethodDescriptor,
    message: impl Message + 'static,
    metadata: &[(&'static str, &str)],
) -> Option<String> {
    let called = answered(channel, method, message, metadata).await;
    called.err().map(|status| reason(&status))
}

async fn answered<M: Message + 'static>(
    channel: &Channel,
    method: &MethodDescriptor,
    message: M,
    metadata: &[(&'static str, &str)],
) -> Result<(), Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("a connection");
    let codec = tonic_prost::ProstCodec::<M, ()>::default();
    let path = path(method).parse().expect("names make a path");
    let answers = client.server_streaming(with(metadata, message), path, codec);
    let mut answers = answers.await?.into_inner();
    while answers.message().await?.is_some() && !method.is_client_streaming() {}
    Ok(())
}

/// The same over REST.
pub(super) async fn rest(
    client: &Client,
    method: &MethodDescriptor,
    account: &str,
) -> Option<String> {
    told_by(&answer(client, method, account).await)
}

/// What REST answers. Who calls a method that is not bound to HTTP posts to its name.
pub(super) async fn answer(client: &Client, method: &MethodDescriptor, account: &str) -> Answer {
    let rule = http::of(method);
    let body = rule.as_ref().is_none_or(|rule| !rule.body.is_empty());
    let body = body.then(|| "{}".to_owned());
    let (verb, path) = match &rule {
        Some(rule) => binding(rule, account),
        None => (Method::POST, path(method)),
    };
    let answer = client.send(verb, &path, body).await;
    answer.expect("an answer")
}

/// Why an answer of REST is a refusal; none where it is none.
pub(super) fn told_by(answer: &Answer) -> Option<String> {
    let reason = answer.body["reason"].as_str()?;
    let known = Reason::from_name(reason).expect("a reason of the contracts");
    answer.problem(known.http_status(), reason);
    Some(reason.to_owned())
}

/// The HTTP method of a binding, and its path with the account in the place of variables.
pub(super) fn binding(rule: &HttpRule, account: &str) -> (Method, String) {
    let (verb, template) = match rule.pattern.as_ref().expect("a method and a path") {
        Pattern::Get(path) => (Method::GET, path),
        Pattern::Put(path) => (Method::PUT, path),
        Pattern::Post(path) => (Method::POST, path),
        Pattern::Delete(path) => (Method::DELETE, path),
        Pattern::Patch(path) => (Method::PATCH, path),
        Pattern::Custom(custom) => (custom.kind.parse().expect("a method"), &custom.path),
    };
    // Every second part is the name of a variable.
    let parts = template.split(['{', '}']).enumerate();
    let path = parts.map(|(index, part)| if index % 2 == 1 { account } else { part });
    (verb, path.collect())
}

/// A request for an account, where the method asks for one, and empty otherwise.
pub(super) fn message(method: &MethodDescriptor, account: &str) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.input());
    let owner = access::of(method).expect("an access option").owner;
    if !owner.is_empty() {
        message.set_field_by_name(&owner, Value::String(account.to_owned()));
    }
    message
}

/// The reason of a status. Panics where its code is not that of the reason.
fn reason(status: &Status) -> String {
    assert_ne!(status.code(), Code::Ok);
    let info = status.get_details_error_info();
    let reason = info.map(|info| info.reason).unwrap_or_default();
    refused(status, &reason);
    reason
}
