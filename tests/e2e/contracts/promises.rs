//! What the options of a release promise to clients, and to processes of that release while others are replaced already.

use grimoire_proto::access::{self, Level};
use grimoire_proto::http::{self, HttpRule};
use grimoire_proto::options::v1::{Access, Failure};
use prost_reflect::{DescriptorPool, EnumValueDescriptor, MethodDescriptor};

use super::binding;

/// The promises of `released` that `now` does not keep. What is gone, buf tells.
pub(super) fn broken(released: &DescriptorPool, now: &DescriptorPool) -> Vec<String> {
    let mut broken = Vec::new();
    for before in methods(released) {
        let after = methods(now).find(|after| after.full_name() == before.full_name());
        let Some(after) = after else { continue };
        let bindings = bindings(&after);
        for rule in self::bindings(&before) {
            if !bindings.contains(&rule) {
                let (verb, path) = binding(&rule);
                let verb = verb.to_uppercase();
                broken.push(format!("{}: {verb} {path}", before.full_name()));
            }
        }
        let (was, is) = (access::of(&before), access::of(&after));
        if !was.zip(is).is_some_and(|(was, is)| admits(&is, &was)) {
            broken.push(format!("{}: who may call", before.full_name()));
        }
    }
    for before in reasons(released) {
        let after = reasons(now).find(|after| after.number() == before.number());
        if after.is_some_and(|after| meaning(&after) != meaning(&before)) {
            broken.push(format!("{}: what it means", before.name()));
        }
    }
    broken
}

/// Whether everybody who was let in still is.
fn admits(is: &Access, was: &Access) -> bool {
    let level = match was.level() {
        Level::Public => is.level() == Level::Public,
        Level::SignedIn => matches!(is.level(), Level::Public | Level::SignedIn),
        Level::Mesh => is.level() == Level::Mesh,
        Level::Unspecified => true,
    };
    // Any of the roles lets in, and all of the scopes do.
    let roles = is.roles.is_empty()
        || !was.roles.is_empty() && was.roles.iter().all(|role| is.roles.contains(role));
    let scopes = is.scopes.iter().all(|scope| was.scopes.contains(scope));
    let callers = was.callers.iter().all(|peer| is.callers.contains(peer));
    let recent = is.recent_login == 0 || (1..=is.recent_login).contains(&was.recent_login);
    level && roles && scopes && callers && recent
}

fn bindings(method: &MethodDescriptor) -> Vec<HttpRule> {
    let Some(mut rule) = http::of(method) else {
        return Vec::new();
    };
    let more = std::mem::take(&mut rule.additional_bindings);
    std::iter::once(rule).chain(more).collect()
}

fn methods(pool: &DescriptorPool) -> impl Iterator<Item = MethodDescriptor> {
    pool.services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
}

fn reasons(pool: &DescriptorPool) -> impl Iterator<Item = EnumValueDescriptor> {
    let reasons = pool.get_enum_by_name("grimoire.errors.v1.Reason");
    let reasons = reasons.expect("the enum of reasons");
    reasons.values().collect::<Vec<_>>().into_iter()
}

/// The code and the status of a reason; its title may be said better.
fn meaning(reason: &EnumValueDescriptor) -> (u32, u32) {
    let pool = reason.parent_enum().parent_pool();
    let failure = pool.get_extension_by_name("grimoire.options.v1.failure");
    let failure = failure.expect("the option of reasons");
    let options = reason.options();
    let meaning = options.get_extension(&failure);
    let meaning = meaning.as_message().expect("a message");
    let meaning: Failure = meaning.transcode_to().expect("the option of this build");
    (meaning.code, meaning.http_status)
}
