//! Compiles the API with a pure-Rust protobuf compiler, so that nobody needs a
//! protoc to build the gateway.

use std::{env, fs, io, path::PathBuf};

use tonic_prost_build::Config;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "proto/dialplane/v1/call.proto",
        "proto/dialplane/v1/vendor.proto",
        "proto/dialplane/v1/call_service.proto",
        "proto/dialplane/v1/suppression_service.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=third_party");

    let descriptors = protox::compile(files, ["proto", "third_party"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("no OUT_DIR"))?);
    fs::write(out.join("dialplane.bin"), prost_bytes(&descriptors))?;

    let mut config = Config::new();
    config.enable_type_names();
    config.btree_map(["."]);
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .codec_path("crate::api::codec::BoundedCodec")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

fn prost_bytes(set: &impl protox::prost::Message) -> Vec<u8> {
    set.encode_to_vec()
}
