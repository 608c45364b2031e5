//! What is known of each method that is served: its access option from the contracts, and its metrics.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use grimoire_proto::access::{self, Access};
use grimoire_proto::descriptors;
use telemetry::prometheus::{HistogramVec, IntGauge};
use telemetry::{metrics, names};
use tonic::Code;

use super::GrpcError;
use super::calls::code_name;

/// Methods that every server has and everybody may call: they tell nothing that is secret and act on nothing.
const OPEN: [&str; 4] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// How a call to something that is not served appears in metrics: its name could be anything.
const OTHER: &str = "_OTHER";

/// What is known of each method that is served.
pub(super) struct Methods {
    /// By path: `/package.Service/Method`.
    known: HashMap<String, Arc<Method>>,
    other: Arc<Method>,
}

/// One method.
pub(super) struct Method {
    /// `package.Service/Method`.
    pub(super) name: String,
    pub(super) rule: Rule,
    pub(super) durations: HistogramVec,
    pub(super) active: IntGauge,
}

/// Who may call a method.
pub(super) enum Rule {
    /// Whoever its access option lets.
    Access(Access),
    /// Everybody, without a trace of it.
    Open,
    /// Nobody: it is not served.
    Unknown,
}

impl Methods {
    /// The methods of `services`, with what the contracts say of each; a service that they do not describe is an error.
    pub(super) fn of(services: &BTreeSet<&'static str>) -> Result<Self, GrpcError> {
        let mut known = HashMap::new();
        for &name in services {
            let service = descriptors()
                .get_service_by_name(name)
                .ok_or(GrpcError::Undescribed(name))?;
            for method in service.methods() {
                let rule = Rule::Access(access::of(&method).unwrap_or_default());
                add(
                    &mut known,
                    Method::new(format!("{name}/{}", method.name()), rule),
                );
            }
        }
        for name in OPEN {
            add(&mut known, Method::new(name.to_owned(), Rule::Open));
        }
        Ok(Self {
            known,
            other: Arc::new(Method::new(OTHER.to_owned(), Rule::Unknown)),
        })
    }

    /// The method at `path`.
    pub(super) fn at(&self, path: &str) -> Arc<Method> {
        self.known.get(path).unwrap_or(&self.other).clone()
    }
}

fn add(known: &mut HashMap<String, Arc<Method>>, method: Method) {
    known.insert(format!("/{}", method.name), Arc::new(method));
}

impl Method {
    fn new(name: String, rule: Rule) -> Self {
        let durations = metrics::histogram_vec(
            names::RPC_SERVER_CALL_DURATION,
            "Seconds of calls that were served, until their last message",
            &["rpc_method", "rpc_response_status_code"],
            metrics::SECONDS,
        );
        // Begins at 0, so that a rate is there from the first call on.
        durations.with_label_values(&[name.as_str(), code_name(Code::Ok)]);
        let active = metrics::gauge_vec(
            names::RPC_SERVER_ACTIVE_CALLS,
            "Calls that have begun and not ended",
            &["rpc_method"],
        )
        .with_label_values(&[&name]);
        Self {
            name,
            rule,
            durations,
            active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_found_by_its_path_with_its_access() {
        let methods = Methods::of(&BTreeSet::from(["grimoire.user.v1.ProfileService"])).unwrap();
        let method = methods.at("/grimoire.user.v1.ProfileService/GetProfile");
        assert_eq!(method.name, "grimoire.user.v1.ProfileService/GetProfile");
        assert!(
            matches!(&method.rule, Rule::Access(access) if access.level() == access::Level::SignedIn)
        );
        assert!(matches!(
            methods.at("/grpc.health.v1.Health/Check").rule,
            Rule::Open
        ));
    }

    #[test]
    fn what_is_not_served_shares_one_name() {
        let methods = Methods::of(&BTreeSet::new()).unwrap();
        let method = methods.at("/x/y");
        assert_eq!(method.name, "_OTHER");
        assert!(matches!(method.rule, Rule::Unknown));
    }

    #[test]
    fn a_service_that_the_contracts_do_not_describe_is_refused() {
        let error = Methods::of(&BTreeSet::from(["x.y.Z"])).err().unwrap();
        assert_eq!(
            error.to_string(),
            "x.y.Z is not in the contracts: nothing says who may call it"
        );
    }
}
