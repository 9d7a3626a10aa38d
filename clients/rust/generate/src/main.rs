//! `generate DESCRIPTORS`: writes the stubs from what `buf build --as-file-descriptor-set` made of `proto/`.
use std::{error::Error, fs, path::Path};

use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: generate DESCRIPTORS")?;
    let mut descriptors = FileDescriptorSet::decode(fs::read(path)?.as_slice())?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");

    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .bytes(".")
        .out_dir(root.join("src/generated"))
        .compile_fds(descriptors.clone())?;

    // The service's side, for the tests alone, on the client's messages.
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .extern_path(".dibs.v1", "::dibs::v1")
        .out_dir(root.join("tests/it/generated"))
        .compile_fds(descriptors.clone())?;

    // The adapter's JSON needs no comments.
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    fs::write(root.join("conformance/descriptor.binpb"), descriptors.encode_to_vec())?;
    Ok(())
}
