//! Compresses the files of the page: they are a good part of what the dashboard adds to the executable, and
//! every browser takes them so.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::{env, fs};

use flate2::{Compression, GzBuilder};

const FILES: [&str; 12] = [
    "index.html",
    "icon.svg",
    "style.css",
    "uplot.css",
    "uplot.js",
    "main.js",
    "dom.js",
    "charts.js",
    "logs.js",
    "list.js",
    "detail.js",
    "orders.js",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=assets");
    let out = env::var("OUT_DIR")?;
    for name in FILES {
        let content = fs::read(Path::new("assets").join(name))?;
        let path = Path::new(&out).join(format!("{name}.gz"));
        // Without a time in it, the same file gives the same bytes.
        let file = fs::File::create(path)?;
        let mut compressed = GzBuilder::new().write(file, Compression::best());
        compressed.write_all(&content)?;
        compressed.finish()?;
    }
    Ok(())
}
