//! Compiles the `.proto` files with protox, in Rust: a build needs no protoc.

use std::error::Error;

/// The contracts, by their path below this crate, which is also the root of their imports.
const FILES: [&str; 3] =
    ["pelton/broker/v1/broker.proto", "pelton/cluster/v1/cluster.proto", "pelton/consensus/v1/consensus.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    // `bytes` fields are slices of the buffer a message was read into: an entry's body is not copied to be decoded.
    // There are no default transports in the stubs: connections between nodes are made in one place only.
    tonic_prost_build::configure().bytes(".").build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
