//! The executable: all of it is in the library beside it, so that fuzz targets can reach the parts
//! that read untrusted bytes.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    maitred::main()
}
