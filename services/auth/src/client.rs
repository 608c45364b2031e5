//! Who is at the other end, as the gateway saw it.

use chassis::caller::Caller;

/// The client of a call; empty where the gateway did not say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    pub(crate) address: String,
    pub(crate) user_agent: String,
}

impl Client {
    pub(crate) fn of(caller: &Caller) -> Self {
        Self {
            address: caller
                .client_address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            user_agent: caller.user_agent.clone().unwrap_or_default(),
        }
    }
}
