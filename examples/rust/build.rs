//! Compiles the API, without a protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (protos, google) = ("../../proto", "../../third_party");
    println!("cargo:rerun-if-changed={protos}");
    println!("cargo:rerun-if-changed={google}");
    let descriptors = protox::compile(["dialplane/v1/call_service.proto"], [protos, google])?;
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors)?;
    Ok(())
}
