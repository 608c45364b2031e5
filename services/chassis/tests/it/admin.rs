use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use chassis::process::{Process, ProcessError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::process_config;

#[tokio::test]
async fn readyz_says_what_is_missing() {
    let process = Process::start("user", &process_config(), Router::new())
        .await
        .unwrap();
    let trust = process.readiness.condition("trust");
    assert_eq!(
        fetch(process.admin_address, "/readyz").await,
        (503, "not ready: started, trust\n".to_owned())
    );
    process.started();
    trust.set(true);
    assert_eq!(
        fetch(process.admin_address, "/readyz").await,
        (200, "ready\n".to_owned())
    );
}

#[tokio::test]
async fn the_admin_port_has_metrics_and_what_a_process_adds() {
    let more = Router::new().route("/routes", get(|| async { "GET /v1/users/{user}\n" }));
    let process = Process::start("gateway", &process_config(), more)
        .await
        .unwrap();
    assert_eq!(fetch(process.admin_address, "/livez").await.0, 200);
    assert_eq!(
        fetch(process.admin_address, "/routes").await,
        (200, "GET /v1/users/{user}\n".to_owned())
    );
    let (code, metrics) = fetch(process.admin_address, "/metrics").await;
    assert_eq!(code, 200);
    assert!(metrics.contains("grimoire_ready "), "{metrics}");
}

#[tokio::test]
async fn an_admin_port_that_is_taken_is_named_with_its_variable() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = process_config();
    config.admin_listen = taken.local_addr().unwrap();
    let error = Process::start("user", &config, Router::new())
        .await
        .unwrap_err();
    assert!(matches!(error, ProcessError::AdminPort { .. }));
    let text = error.to_string();
    assert!(
        text.contains(&config.admin_listen.to_string()) && text.contains("GRIMOIRE_ADMIN_LISTEN"),
        "{text}"
    );
}

async fn fetch(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}
