//! Contracts of a folder, while requests are on their way.

use std::fs;

use crate::stack::counting::{contracts, serve};
use crate::stack::{Stack, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_the_plan_that_it_began_with() {
    let folder = std::env::temp_dir().join(format!("contracts-{}", uuid::Uuid::now_v7()));
    let set = folder.join("counting.binpb");
    fs::create_dir(&folder).unwrap();
    fs::write(&set, contracts().encode_to_vec()).unwrap();
    let (counting, mut given_up) = serve().await;
    let arguments = ["--contracts-dir", folder.to_str().unwrap()];
    let compiled_in = grimoire_proto::descriptors();
    let stack = Stack::of(compiled_in, Some(counting), &arguments).await;
    let url = format!("http://{}/v1/counts/1?then=wait", stack.address);
    let mut stream = reqwest::get(url).await.unwrap();
    let first = stream.chunk().await.unwrap().unwrap();
    assert_eq!(first, "{\"number\":1}\n");

    fs::remove_file(set).unwrap();
    eventually("an end of the route", || async {
        let status = stack.get("/v1/counts/1", None).await.status;
        (status == 404).then_some(())
    })
    .await;
    assert_eq!(*given_up.borrow(), 0);
    drop(stream);
    given_up.wait_for(|count| *count == 1).await.unwrap();
    fs::remove_dir_all(folder).unwrap();
}
