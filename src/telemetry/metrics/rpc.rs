//! RPCs by method and status.

use std::time::Duration;

use tonic::Code;

use super::{
    Snapshot,
    instrument::{Counter, EXCHANGE_SECONDS, Histogram},
    table,
};

/// The methods that are told apart; all others are the last one's.
pub const METHODS: [&str; 13] = [
    "dialplane.v1.CallService/CreateCalls",
    "dialplane.v1.CallService/GetCallResults",
    "dialplane.v1.CallService/WatchCallResults",
    "dialplane.v1.CallService/CancelCalls",
    "dialplane.v1.CallService/ListVendors",
    "dialplane.v1.SuppressionService/AddSuppressions",
    "dialplane.v1.SuppressionService/RemoveSuppressions",
    "dialplane.v1.SuppressionService/ListSuppressions",
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "other",
];

/// Statuses, by their number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A method of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method(usize);

impl Method {
    /// The method of a request's path: `/dialplane.v1.CallService/CreateCalls`.
    pub fn of(path: &str) -> Self {
        let name = path.strip_prefix('/').unwrap_or(path);
        let known = METHODS.iter().position(|method| *method == name);
        Self(known.unwrap_or(METHODS.len() - 1))
    }
}

/// The RPCs of one method.
#[derive(Debug)]
struct OfMethod {
    codes: [Counter; CODES.len()],
    took: Histogram,
}

impl Default for OfMethod {
    fn default() -> Self {
        Self { codes: Default::default(), took: Histogram::new(&EXCHANGE_SECONDS) }
    }
}

/// RPCs that are over.
#[derive(Debug, Default)]
pub(super) struct Rpcs([OfMethod; METHODS.len()]);

impl Rpcs {
    pub(super) fn ended(&self, method: Method, code: Code, duration: Duration) {
        let Some(of_method) = self.0.get(method.0) else { return };
        of_method.took.took(duration);
        let place = usize::try_from(code as i32).unwrap_or_default();
        if let Some(counter) = of_method.codes.get(place) {
            counter.one();
        }
    }

    pub(super) fn measure(&self, snapshot: &mut Snapshot) {
        for (method, of_method) in METHODS.iter().zip(&self.0) {
            let codes = CODES.iter().zip(&of_method.codes);
            // Most methods never end with most codes: only OK is told before it happens.
            for (code, counter) in codes.filter(|(code, c)| **code == "OK" || c.get() > 0) {
                snapshot.counter(&table::RPCS, [(*method).into(), (*code).into()], counter);
            }
            if of_method.took.distribution().count() > 0 {
                snapshot.histogram(&table::RPC_DURATION, [(*method).into()], &of_method.took);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_the_api_is_told_apart() {
        let files = FileDescriptorSet::decode(crate::proto::DESCRIPTORS).unwrap().file;
        let mut known: HashSet<_> = METHODS
            .iter()
            .filter(|m| m.starts_with("dialplane."))
            .map(|m| (*m).to_owned())
            .collect();
        for file in files.iter().filter(|file| file.package() == "dialplane.v1") {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("dialplane.v1.{}/{}", service.name(), method.name());
                    assert!(known.remove(&name), "{name}");
                    assert_ne!(Method::of(&format!("/{name}")), Method::of("/x"));
                }
            }
        }
        assert!(known.is_empty(), "{known:?}");
    }

    #[test]
    fn every_code_has_its_place() {
        for (place, name) in (0..).zip(CODES) {
            let code = Code::from(place);
            assert_eq!(code as i32, place);
            assert_eq!(format!("{code:?}").to_uppercase(), name.replace('_', ""));
        }
    }
}
