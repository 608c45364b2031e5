//! What the options of a method ask, beside what is asked of everybody, for every method that has them: at the gateway, and of the
//! services, which look once more.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use grimoire_proto::access::{self, Access, Level};
use grimoire_proto::{edge, http, upstream};
use prost_reflect::MethodDescriptor;
use tests::program::{Replica, refusing};
use tests::rest::{Answer, Client};
use tests::stack::{SERVICES, alone, eventually, shared};
use tonic::transport::Endpoint;

use super::visitor::{Visitor, answer, binding, call, message, rest, told_by};
use super::{channel, methods};
use crate::passwords::after_a_day;
use crate::tokens::Frozen;

/// A field that no message has, which services pass over.
#[derive(Clone, PartialEq, prost::Message)]
struct Padding {
    #[prost(bytes = "vec", tag = "1000")]
    padding: Vec<u8>,
}

fn access(method: &MethodDescriptor) -> Access {
    access::of(method).expect("an access option")
}

fn asks_for_a_recent_proof(method: &MethodDescriptor) -> bool {
    access(method).recent_login > 0
}

fn asks_for_fresh_trust(method: &MethodDescriptor) -> bool {
    edge::of(method).fresh_trust
}

/// Processes that serve methods.
fn services() -> BTreeSet<String> {
    let methods = methods();
    let services = methods
        .iter()
        .filter_map(|method| upstream::of(method.parent_service()));
    services.collect()
}

fn serves(process: &str, method: &MethodDescriptor) -> bool {
    upstream::of(method.parent_service()).as_deref() == Some(process)
}

/// Who a process is in a mesh.
fn identity(process: &str) -> String {
    format!("{process}.grimoire.serviceaccount.identity.linkerd.cluster.local")
}

#[tokio::test]
async fn who_proved_long_ago_who_they_are_proves_it_again_where_that_is_asked() {
    let stack = shared().await;
    let admin = after_a_day(stack, &stack.admin().await).await;
    let admin = Visitor::with_token(stack, admin.token().expect("a token"));
    for method in methods()
        .iter()
        .filter(|method| asks_for_a_recent_proof(method))
    {
        admin
            .is_refused(method, "me", "RECENT_LOGIN_REQUIRED")
            .await;
    }
}

#[tokio::test]
async fn a_service_asks_once_more_what_the_contract_asks() {
    let stack = shared().await;
    let (owner, stranger) = (uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
    let (owner, stranger) = (owner.to_string(), stranger.to_string());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs().to_string();
    let subject = ("grimoire-subject", stranger.as_str());
    let proven = ("grimoire-auth-time", now.as_str());
    for process in services() {
        let service = channel(stack, &process).await;
        for method in methods().iter().filter(|method| serves(&process, method)) {
            let access = access(method);
            if access.level() != Level::SignedIn {
                continue;
            }
            let name = method.full_name();
            let told = async |metadata: &[(&'static str, &str)]| {
                call(&service, method, message(method, &owner), metadata).await
            };
            assert_eq!(told(&[]).await.as_deref(), Some("TOKEN_MISSING"), "{name}");
            let roles = access.roles.join(",");
            let mut caller = vec![subject];
            if !roles.is_empty() {
                let told = told(&caller).await;
                assert_eq!(told.as_deref(), Some("ROLE_REQUIRED"), "{name}");
                caller.push(("grimoire-roles", roles.as_str()));
            }
            if access.recent_login > 0 {
                let told = told(&caller).await;
                assert_eq!(told.as_deref(), Some("RECENT_LOGIN_REQUIRED"), "{name}");
                caller.push(proven);
            }
            // An administrator may act for others.
            if !access.owner.is_empty() && roles.is_empty() {
                let told = told(&caller).await;
                assert_eq!(told.as_deref(), Some("RESOURCE_NOT_FOUND"), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn in_a_mesh_a_method_is_open_to_those_whom_the_contract_names() {
    let stack = shared().await;
    let identities = SERVICES.map(identity).join(",");
    // It serves without Kafka, and takes no partition from that of the system.
    let (_held, nowhere) = refusing();
    for process in services() {
        let mut environment = stack.environment(&process);
        environment.insert("GRIMOIRE_MESH_IDENTITIES".to_owned(), identities.clone());
        environment.insert("KAFKA_BOOTSTRAP_SERVERS".to_owned(), nowhere.to_string());
        let beside = Replica::serving(&process, environment).await;
        let channel = Endpoint::from_shared(beside.url()).unwrap().connect_lazy();
        for method in methods().iter().filter(|method| serves(&process, method)) {
            let access = access(method);
            for caller in SERVICES.into_iter().chain(["somebody"]) {
                let allowed = match access.level() {
                    Level::Mesh => access.callers.iter().any(|one| one == caller),
                    _ => caller == "gateway",
                };
                let caller = identity(caller);
                let metadata = [("l5d-client-id", caller.as_str())];
                let told = call(&channel, method, message(method, "me"), &metadata).await;
                let refused = told.as_deref() == Some("PEER_NOT_ALLOWED");
                assert_eq!(
                    refused,
                    !allowed,
                    "{} by {caller}: {told:?}",
                    method.full_name()
                );
            }
            let nobody = call(&channel, method, message(method, "me"), &[]).await;
            assert_eq!(nobody.as_deref(), Some("PEER_NOT_ALLOWED"));
        }
        beside.end().await;
    }
}

#[tokio::test]
async fn while_revocations_may_be_missing_what_does_not_go_without_them_is_refused() {
    let alone = alone().await;
    let stack = &alone.system;
    let person = stack.admin().await;
    let admin = Visitor::of(stack, &person);
    let all = methods();
    let fresh = all.iter().filter(|method| asks_for_fresh_trust(method));
    // A call that the gateway lets through to auth would wait there.
    let other = fresh.clone().find(|method| !serves("auth", method));
    let other = other.expect("a method that auth does not serve");
    person.client.get("/v1/users/me").await.ok();

    let frozen = Frozen::auth(&stack.stack);
    eventually("trust to become stale", || async {
        let told = rest(&admin.client(), other, "me").await;
        (told.as_deref() == Some("TRUST_STALE")).then_some(())
    })
    .await;
    for method in fresh {
        admin.is_refused(method, "me", "TRUST_STALE").await;
    }
    // Others go on with keys that are known.
    person.client.get("/v1/users/me").await.ok();
    drop(frozen);
    eventually("trust to be fresh again", || async {
        let told = rest(&admin.client(), other, "me").await;
        (told.as_deref() != Some("TRUST_STALE")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_method_of_a_limit_class_has_the_budget_of_its_class() {
    let stack = shared().await;
    let mut environment = stack.environment("gateway");
    // Of the classes of an account, one call and no more.
    let classes =
        "credentials=10/min per address,search=1/h per account,admin=1/h per account".to_owned();
    environment.insert("GRIMOIRE_LIMIT_CLASSES".to_owned(), classes);
    let gateway = Replica::start("gateway", environment).await;
    let admin = stack.admin().await;
    let admin =
        Client::new(&gateway.url()).with_token(admin.tokens["accessToken"].as_str().unwrap());
    let limited = |answer: &Answer| told_by(answer).as_deref() == Some("RATE_LIMITED");
    let mut spent = BTreeSet::new();
    for method in methods() {
        let (class, name) = (edge::of(&method).limit_class, method.full_name());
        if class.is_empty() {
            continue;
        }
        if class == "credentials" {
            let client = stack.client();
            // Ten in a row are let through, and one more every six seconds. What is refused otherwise counts too.
            let mut answers = Vec::new();
            for _ in 0..13 {
                answers.push(answer(&client, &method, "me").await);
            }
            assert!(!answers[..10].iter().any(limited), "{name}");
            assert!(answers.iter().any(limited), "{name}");
        } else {
            if spent.insert(class.clone()) {
                assert!(!limited(&answer(&admin, &method, "me").await), "{name}");
            }
            let refused = answer(&admin, &method, "me").await;
            assert!(limited(&refused), "{name}: {refused:?}");
        }
        let answer = answer(&stack.client(), &method, "me").await;
        let policy = answer.header("ratelimit-policy");
        assert!(policy.contains(&format!("\"{class}\"")), "{name}: {policy}");
    }
}

#[tokio::test]
async fn a_body_over_the_bound_of_its_method_is_refused() {
    let stack = shared().await;
    let admin = Visitor::of(stack, &stack.admin().await);
    for method in methods() {
        let most = edge::of(&method).max_body_bytes as usize;
        if most == 0 {
            continue;
        }
        let name = method.full_name();
        let rule = http::of(&method).expect("a binding");
        if !rule.body.is_empty() {
            let (verb, path) = binding(&rule, "me");
            let body = format!("{{\"padding\": \"{}\"}}", "a".repeat(most));
            let answer = admin.client().send(verb, &path, Some(body)).await.unwrap();
            let told = told_by(&answer);
            assert_eq!(told.as_deref(), Some("BODY_TOO_LARGE"), "{name}");
        }
        let padding = Padding {
            padding: vec![0; most + 1],
        };
        let told = admin.told_of(&method, &padding).await;
        let expected = [(); 3].map(|()| Some("BODY_TOO_LARGE".to_owned()));
        assert_eq!(told, expected, "{name}");
    }
}
