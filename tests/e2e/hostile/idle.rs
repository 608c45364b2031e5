//! Connections by the thousand that ask for nothing.

use tests::crowd::{self, Idle};
use tests::process::pss;

use super::Target;

/// Of each kind. `./dev bench connections` has 10,000.
const EACH: usize = 1000;
/// Far more than one costs, far less than buffers for each would: 64 KiB to read and as much to write.
const MOST: u64 = 40 * 1024;

#[tokio::test]
async fn a_crowd_that_asks_for_nothing_costs_little_and_keeps_nobody_out() {
    let target = Target::start(&[]).await;
    let each = crowd::room(EACH * Idle::ALL.len()) / Idle::ALL.len();
    let crowds = async {
        let before = pss(target.gateway.pid());
        // What the first ones leave behind has to be enough for the second ones.
        let mut most = before;
        for _ in 0..2 {
            let mut crowds = Vec::new();
            for idle in Idle::ALL {
                crowds.push(crowd::open(target.address(), idle, each).await.unwrap());
            }
            most = most.max(pss(target.gateway.pid()));
        }
        most.saturating_sub(before)
    };
    let grown = target.stands(crowds).await;
    let cost = grown / (each * Idle::ALL.len()) as u64;
    assert!(
        cost < MOST,
        "{cost} bytes for each of {} connections",
        each * Idle::ALL.len()
    );
}
