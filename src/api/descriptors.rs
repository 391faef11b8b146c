//! What the API consists of, as protobuf describes it: messages, RPCs, and their comments.
//! Reflection tells it, and `dialplane descriptors` writes it into a file.

use std::collections::BTreeSet;

use prost::{DecodeError, Message};
use prost_types::FileDescriptorSet;

use crate::proto::DESCRIPTORS;

/// Every file once, and after those that it imports: the API's, those of the details of errors,
/// of health and of reflection, and Google's that they need.
///
/// # Errors
/// Never, unless what was compiled in is damaged.
pub fn descriptors() -> Result<FileDescriptorSet, DecodeError> {
    let sets = [
        DESCRIPTORS,
        tonic_types::pb::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut left = Vec::new();
    for set in sets {
        for mut file in FileDescriptorSet::decode(set)?.file {
            for name in file.name.iter_mut().chain(&mut file.dependency) {
                place(name);
            }
            left.push(file);
        }
    }
    let mut there = BTreeSet::new();
    let mut file = Vec::with_capacity(left.len());
    // Those without anything to wait for, again and again; what waits for a file that is
    // nowhere, or for itself, comes last.
    loop {
        let (ready, waiting): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|file| file.dependency.iter().all(|name| there.contains(name)));
        let before = file.len();
        for ready in ready {
            if there.insert(ready.name().to_owned()) {
                file.push(ready);
            }
        }
        left = waiting;
        if file.len() == before {
            break;
        }
    }
    file.extend(left.into_iter().filter(|file| there.insert(file.name().to_owned())));
    Ok(FileDescriptorSet { file })
}

/// Some crates were built beside their files. Everybody else knows these by the whole path, and two
/// files with the same messages are a contradiction to whoever reads the set.
fn place(name: &mut String) {
    let whole = match name.as_str() {
        "status.proto" => "google/rpc/status.proto",
        "error_details.proto" => "google/rpc/error_details.proto",
        "health.proto" => "grpc/health/v1/health.proto",
        "reflection_v1.proto" => "grpc/reflection/v1/reflection.proto",
        "reflection_v1alpha.proto" => "grpc/reflection/v1alpha/reflection.proto",
        _ => return,
    };
    whole.clone_into(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_there_once_after_its_imports() {
        let mut there = BTreeSet::new();
        for file in descriptors().unwrap().file {
            let missing: Vec<_> =
                file.dependency.iter().filter(|name| !there.contains(*name)).collect();
            assert!(missing.is_empty(), "{}: {missing:?}", file.name());
            assert!(there.insert(file.name().to_owned()), "{} is there twice", file.name());
            let package = file.package().replace('.', "/");
            assert!(file.name().starts_with(&package), "{} is of {package}", file.name());
        }
        for name in [
            "dialplane/v1/call_service.proto",
            "dialplane/v1/suppression_service.proto",
            "google/rpc/error_details.proto",
            "google/protobuf/struct.proto",
        ] {
            assert!(there.contains(name), "{name}: {there:?}");
        }
    }

    #[test]
    fn the_comments_are_there_for_those_who_read_them() {
        let set = descriptors().unwrap();
        let call = set.file.iter().find(|file| file.name() == "dialplane/v1/call.proto").unwrap();
        let info = call.source_code_info.as_ref().unwrap();
        assert!(info.location.iter().any(|l| l.leading_comments().contains("E.164")));
    }
}
