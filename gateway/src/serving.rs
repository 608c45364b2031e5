//! What is served now: the plan, where its upstreams are, and reflection of it. It is made aside and replaced as a whole. A request takes
//! its route and its upstream of one of them, and keeps these.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use prost_reflect::DescriptorPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::config::Config;
use crate::contracts::{Contracts, ContractsError, Folder};
use crate::limits::Limits;
use crate::pages::Pages;
use crate::plan::{Plan, PlanError};
use crate::upstream::{MissingUpstream, Targets};
use crate::{AUTH, metrics, openapi, own};

/// One plan, and everything that is made of it.
pub(crate) struct Serving {
    pub(crate) plan: Plan,
    pub(crate) targets: Targets,
    /// What the own upstream serves: health, and reflection.
    pub(crate) own: Routes,
}

/// Why contracts cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    #[error(transparent)]
    Contracts(#[from] ContractsError),
    #[error("the routes are not a plan: {0}")]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Upstream(#[from] MissingUpstream),
    #[error("the descriptors of the edge are not valid: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Makes what is served; all of it but a folder of contracts stays the same while the gateway runs.
pub(crate) struct Maker {
    pub(crate) config: Config,
    pub(crate) compiled_in: DescriptorPool,
    pub(crate) limits: Arc<Limits>,
    /// The own upstream.
    pub(crate) own: SocketAddr,
    pub(crate) health: Routes,
}

impl Maker {
    /// What is served with `folder`. Upstreams of `before` that stay where they are keep their connections.
    pub(crate) fn make(
        &self,
        folder: Option<&Folder>,
        before: &Targets,
    ) -> Result<Serving, ServingError> {
        let config = &self.config;
        let contracts = contracts(config, &self.compiled_in, folder)?;
        let plan = plan(config, &contracts, &self.limits)?;
        let mut needed = plan.upstreams();
        needed.insert(AUTH.to_owned());
        let mut addresses = config.upstreams.0.clone();
        addresses.extend(contracts.upstreams);
        // The workers, and the main thread.
        let threads = config.worker_threads() + 1;
        let targets = before.changed(needed, &addresses, self.own, threads)?;
        let own = if config.reflects() {
            own::with_reflection(self.health.clone(), &contracts.reflected)?
        } else {
            self.health.clone()
        };
        Ok(Serving { plan, targets, own })
    }
}

/// The contracts that are compiled in, and those of `folder`.
pub(crate) fn contracts(
    config: &Config,
    compiled_in: &DescriptorPool,
    folder: Option<&Folder>,
) -> Result<Contracts, ContractsError> {
    match folder {
        Some(folder) => Contracts::with(compiled_in, folder, &config.upstreams.0),
        None => Ok(Contracts::compiled_in(compiled_in)),
    }
}

/// The plan of `contracts`, with the pages that describe it.
pub(crate) fn plan(
    config: &Config,
    contracts: &Contracts,
    limits: &Limits,
) -> Result<Plan, PlanError> {
    let mut plan = Plan::compile(contracts, &config.bounds, limits, config.reflects())?;
    if config.documents() {
        plan.pages = Pages::new(&openapi::document(&plan));
    }
    Ok(plan)
}

/// What is served, whatever that is when somebody asks.
pub(crate) struct Current {
    serving: ArcSwap<Serving>,
    replaced: watch::Sender<()>,
}

impl Current {
    pub(crate) fn new(serving: Serving) -> Arc<Self> {
        metrics::plan(&serving);
        Arc::new(Self {
            serving: ArcSwap::from_pointee(serving),
            replaced: watch::Sender::new(()),
        })
    }

    /// For a moment; whoever waits meanwhile takes what it needs, or `load_full`.
    pub(crate) fn load(&self) -> Guard<Arc<Serving>> {
        self.serving.load()
    }

    pub(crate) fn load_full(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    pub(crate) fn replace(&self, next: Serving) {
        self.serving.store(Arc::new(next));
        metrics::plan(&self.load());
        self.replaced.send_replace(());
    }

    /// Keeps the addresses of upstreams current, until `stop`.
    pub(crate) async fn keep_addresses(&self, stop: CancellationToken) {
        let mut replaced = self.replaced.subscribe();
        while !stop.is_cancelled() {
            replaced.mark_unchanged();
            let serving = self.load_full();
            tokio::select! {
                () = serving.targets.keep_current(stop.clone()) => {}
                _ = replaced.changed() => {}
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(plan: Plan) -> Arc<Self> {
        Self::new(Serving {
            plan,
            targets: Targets::default(),
            own: Routes::default(),
        })
    }
}
