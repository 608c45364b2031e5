//! gRPC-Web, as a page in a browser speaks it: a person's way in, and what goes wrong.

use grimoire_proto::auth::v1::{
    CompleteRegistrationRequest, CompleteRegistrationResponse, LoginRequest, LoginResponse,
    RegisterRequest,
};
use grimoire_proto::user::v1::{GetProfileRequest, GetProfileResponse};
use prost::Message;
use tests::grpc_web::Encoding;
use tests::rest::Client;
use tests::stack::shared;
use tonic::Status;

use super::refused;

const REGISTER: &str = "/grimoire.auth.v1.AccountService/Register";
const COMPLETE: &str = "/grimoire.auth.v1.AccountService/CompleteRegistration";
const LOGIN: &str = "/grimoire.auth.v1.SessionService/Login";
const GET_PROFILE: &str = "/grimoire.user.v1.ProfileService/GetProfile";

fn registration(email: &str) -> RegisterRequest {
    RegisterRequest {
        email: email.to_owned(),
        ..Default::default()
    }
}

fn me() -> GetProfileRequest {
    GetProfileRequest {
        user: "me".to_owned(),
    }
}

async fn call<A: Message + Default>(
    client: &Client,
    encoding: Encoding,
    path: &str,
    message: &impl Message,
) -> Result<A, Status> {
    let answer = client.grpc_web(encoding, path, message).await?;
    Ok(A::decode(answer.as_slice()).expect("the message of the contract"))
}

#[tokio::test]
async fn a_person_registers_signs_in_and_reads_their_profile() {
    let stack = shared().await;
    for encoding in Encoding::BOTH {
        let (client, email) = (stack.client(), stack.address());
        let password = "a long enough secret 17".to_owned();
        let registration = registration(&email);
        let sent = client.grpc_web(encoding, REGISTER, &registration);
        sent.await.unwrap();
        let mail = stack.smtp.mail_to(&email).await;
        let completion = CompleteRegistrationRequest {
            token: mail.token().unwrap().to_owned(),
            password: password.clone(),
        };
        let made = call::<CompleteRegistrationResponse>(&client, encoding, COMPLETE, &completion);
        let account = made.await.unwrap().account.unwrap();

        let login = LoginRequest { email, password };
        let answer = call::<LoginResponse>(&client, encoding, LOGIN, &login);
        let tokens = answer.await.unwrap().tokens.unwrap();
        let client = client.with_token(&tokens.access_token);
        let me = me();
        let read = call::<GetProfileResponse>(&client, encoding, GET_PROFILE, &me);
        let profile = read.await.unwrap().profile.unwrap();
        assert_eq!(profile.id, account.id);
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_with_its_reason() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    for encoding in Encoding::BOTH {
        let client = stack.client();
        let status = client.grpc_web(encoding, GET_PROFILE, &me()).await;
        refused(&status.unwrap_err(), "TOKEN_MISSING");
        let forged = client.with_token("e30.e30.e30");
        let status = forged.grpc_web(encoding, GET_PROFILE, &me()).await;
        refused(&status.unwrap_err(), "TOKEN_INVALID");
        let status = client
            .grpc_web(encoding, REGISTER, &registration("nobody"))
            .await;
        let details = refused(&status.unwrap_err(), "INVALID_FIELD");
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "email");
        let login = LoginRequest {
            email: person.email.clone(),
            password: "not the password".to_owned(),
        };
        let status = client.grpc_web(encoding, LOGIN, &login).await;
        refused(&status.unwrap_err(), "INVALID_CREDENTIALS");
        let long = registration(&"a".repeat(100_000));
        let status = client.grpc_web(encoding, REGISTER, &long).await;
        refused(&status.unwrap_err(), "BODY_TOO_LARGE");
    }
}

#[tokio::test]
async fn a_body_that_is_no_message_is_malformed() {
    let client = shared().await.client();
    let bodies: [(Encoding, &[u8]); 4] = [
        (Encoding::Binary, b""),
        (Encoding::Binary, b"\0\0\0\0\x09short"),
        (Encoding::Text, b"AAAAAAA"),
        (Encoding::Text, b"not base64 at all!!!"),
    ];
    for (encoding, body) in bodies {
        let sent = client.grpc_web_body(encoding, GET_PROFILE, body.to_vec());
        // Who is not signed in is told that first.
        refused(&sent.await.unwrap_err(), "TOKEN_MISSING");
        let sent = client.grpc_web_body(encoding, REGISTER, body.to_vec());
        refused(&sent.await.unwrap_err(), "MALFORMED_REQUEST");
    }
}
