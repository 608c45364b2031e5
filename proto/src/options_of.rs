//! Readers of the options of methods and services. They look an extension up in the pool of the descriptor that they are given,
//! so they work as well on descriptors that were loaded at run time.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ServiceDescriptor};

/// Who may call a method.
pub mod access {
    pub use crate::options::v1::{Access, Level};

    use super::*;

    /// The access option of `method`; none where it has none, and then it must be refused.
    pub fn of(method: &MethodDescriptor) -> Option<Access> {
        extension(
            method.parent_pool(),
            &method.options(),
            "grimoire.options.v1.access",
        )
    }
}

/// How the gateway treats a method.
pub mod edge {
    pub use crate::options::v1::Edge;

    use super::*;

    /// The edge option of `method`, or the default.
    pub fn of(method: &MethodDescriptor) -> Edge {
        extension(
            method.parent_pool(),
            &method.options(),
            "grimoire.options.v1.edge",
        )
        .unwrap_or_default()
    }
}

/// How a method can fail in a way of its own.
pub mod failures {
    use crate::Reason;
    use crate::options::v1::Failures;

    use super::*;

    /// The reasons that the failures option of `method` names, as far as this build knows them.
    pub fn of(method: &MethodDescriptor) -> Vec<Reason> {
        let failures: Option<Failures> = extension(
            method.parent_pool(),
            &method.options(),
            "grimoire.options.v1.failures",
        );
        let names = failures.unwrap_or_default().reasons;
        names
            .iter()
            .filter_map(|name| Reason::from_name(name))
            .collect()
    }
}

/// How a method is bound to HTTP.
pub mod http {
    pub use crate::google::api::{HttpRule, http_rule::Pattern};

    use super::*;

    /// The HTTP binding of `method`; none where it is reached by gRPC only.
    pub fn of(method: &MethodDescriptor) -> Option<HttpRule> {
        extension(method.parent_pool(), &method.options(), "google.api.http")
    }
}

/// Who serves a service.
pub mod upstream {
    use super::*;

    /// The name in the topology of the process that serves `service`.
    pub fn of(service: &ServiceDescriptor) -> Option<String> {
        let pool = service.parent_pool();
        let extension = pool.get_extension_by_name("grimoire.options.v1.upstream")?;
        let options = service.options();
        if !options.has_extension(&extension) {
            return None;
        }
        options
            .get_extension(&extension)
            .as_str()
            .map(str::to_owned)
    }
}

fn extension<M: Message + Default>(
    pool: &DescriptorPool,
    options: &DynamicMessage,
    name: &str,
) -> Option<M> {
    let extension = pool.get_extension_by_name(name)?;
    if !options.has_extension(&extension) {
        return None;
    }
    options
        .get_extension(&extension)
        .as_message()
        .and_then(|message| message.transcode_to().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors;

    fn method(service: &str, name: &str) -> MethodDescriptor {
        descriptors()
            .get_service_by_name(service)
            .unwrap()
            .methods()
            .find(|method| method.name() == name)
            .unwrap()
    }

    #[test]
    fn the_options_of_a_method_are_read_from_its_descriptor() {
        let update = method("grimoire.user.v1.ProfileService", "UpdateProfile");
        assert_eq!(access::of(&update).unwrap().owner, "user");
        assert_eq!(
            access::of(&update).unwrap().level(),
            access::Level::SignedIn
        );
        assert_eq!(edge::of(&update).max_body_bytes, 32_768);
        assert_eq!(
            http::of(&update).unwrap().pattern,
            Some(http::Pattern::Patch("/v1/users/{user}".into()))
        );
        assert_eq!(upstream::of(update.parent_service()), Some("user".into()));
        let logout = method("grimoire.auth.v1.SessionService", "Logout");
        assert_eq!(
            failures::of(&logout),
            [
                crate::Reason::TokenMissing,
                crate::Reason::InvalidRefreshToken
            ]
        );
        assert!(failures::of(&update).is_empty());
    }

    #[test]
    fn the_edge_sees_no_service_that_only_other_processes_may_call() {
        let edge = DescriptorPool::decode(crate::EDGE_DESCRIPTOR_SET).unwrap();
        for service in descriptors().services() {
            let mesh = service
                .methods()
                .all(|method| access::of(&method).unwrap().level() == access::Level::Mesh);
            assert_eq!(
                edge.get_service_by_name(service.full_name()).is_none(),
                mesh,
                "{}",
                service.full_name()
            );
        }
    }

    #[test]
    fn an_owner_option_names_a_string_field_of_the_request() {
        for method in descriptors()
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
        {
            let owner = access::of(&method).unwrap().owner;
            if !owner.is_empty() {
                let field = method
                    .input()
                    .get_field_by_name(&owner)
                    .unwrap_or_else(|| panic!("{}: no field {owner}", method.full_name()));
                assert_eq!(
                    field.kind(),
                    prost_reflect::Kind::String,
                    "{}",
                    method.full_name()
                );
            }
        }
    }
}
