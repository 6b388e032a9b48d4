//! Generates the wire structs, so that the `.proto` files are the protocol and not a picture of it.

fn main() -> std::io::Result<()> {
    let files = ["proto/endtoend/v1/frames.proto", "proto/endtoend/v1/content.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    prost_build::Config::new().bytes(["."]).compile_protos(&files, &["proto"])
}
