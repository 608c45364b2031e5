use tonic::Code;

use crate::world::{ALICE, GATEWAY, get, reason, world};

#[tokio::test]
async fn a_signed_in_method_answers_its_own_account() {
    let world = world(&[]).await;
    let answer = world
        .client()
        .get_profile(get("me", &[("grimoire-subject", ALICE)]))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().profile.unwrap().bio, ALICE);
}

#[tokio::test]
async fn without_a_subject_it_asks_to_sign_in() {
    let world = world(&[]).await;
    let status = world
        .client()
        .get_profile(get("me", &[]))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "TOKEN_MISSING")
    );
}

#[tokio::test]
async fn another_account_is_not_found() {
    let world = world(&[]).await;
    let other = "018f0000-0000-7000-8000-00000000000b";
    let status = world
        .client()
        .get_profile(get(other, &[("grimoire-subject", ALICE)]))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "RESOURCE_NOT_FOUND")
    );
}

#[tokio::test]
async fn in_a_mesh_only_the_gateway_acts_for_an_account() {
    let world = world(&[GATEWAY]).await;
    let subject = ("grimoire-subject", ALICE);
    for peer in [
        None,
        Some("event-consumer.grimoire.serviceaccount.identity.linkerd.cluster.local"),
    ] {
        let mut metadata = vec![subject];
        metadata.extend(peer.map(|peer| ("l5d-client-id", peer)));
        let status = world
            .client()
            .get_profile(get("me", &metadata))
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::PermissionDenied, "PEER_NOT_ALLOWED")
        );
    }
    let metadata = [subject, ("l5d-client-id", GATEWAY)];
    assert!(
        world
            .client()
            .get_profile(get("me", &metadata))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_method_that_is_not_served_is_unimplemented() {
    use grimoire_proto::user::v1::GetPreferencesRequest;
    use grimoire_proto::user::v1::preferences_service_client::PreferencesServiceClient;

    let world = world(&[]).await;
    let channel = chassis::upstream::connect("user", &crate::world::uri(world.address));
    let request = GetPreferencesRequest {
        user: "me".to_owned(),
    };
    let status = PreferencesServiceClient::new(channel)
        .get_preferences(request)
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unimplemented, "ROUTE_NOT_FOUND")
    );
}

#[tokio::test]
async fn a_handler_that_panics_is_an_internal_error_and_the_service_goes_on() {
    let world = world(&[]).await;
    let subject = ("grimoire-subject", ALICE);
    let status = world
        .client()
        .get_profile(get("panic", &[subject]))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Internal, "INTERNAL")
    );
    assert!(!status.message().contains("of this test"));
    assert!(
        world
            .client()
            .get_profile(get("me", &[subject]))
            .await
            .is_ok()
    );
}
