//! The page and what belongs to it, all within the executable.

/// A file of the page.
#[derive(Debug)]
pub(crate) struct Asset {
    pub(crate) path: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) content: &'static [u8],
    /// It is compressed, as the build script has left it.
    pub(crate) is_compressed: bool,
}

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// A file that the build script has compressed.
macro_rules! compressed {
    ($path:literal, $kind:expr, $name:literal) => {
        Asset {
            path: $path,
            kind: $kind,
            content: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
            is_compressed: true,
        }
    };
}

static ASSETS: [Asset; 14] = [
    compressed!("/", HTML, "index.html"),
    compressed!("/icon.svg", "image/svg+xml", "icon.svg"),
    // Browsers ask for it at times before they have read of the other one.
    compressed!("/favicon.ico", "image/svg+xml", "icon.svg"),
    compressed!("/style.css", CSS, "style.css"),
    compressed!("/uplot.css", CSS, "uplot.css"),
    compressed!("/uplot.js", JAVASCRIPT, "uplot.js"),
    compressed!("/main.js", JAVASCRIPT, "main.js"),
    compressed!("/dom.js", JAVASCRIPT, "dom.js"),
    compressed!("/charts.js", JAVASCRIPT, "charts.js"),
    compressed!("/logs.js", JAVASCRIPT, "logs.js"),
    compressed!("/list.js", JAVASCRIPT, "list.js"),
    compressed!("/detail.js", JAVASCRIPT, "detail.js"),
    compressed!("/orders.js", JAVASCRIPT, "orders.js"),
    // Programs read it, too, which may not know how to decompress it.
    Asset {
        path: "/api/v1/openapi.json",
        kind: "application/json",
        content: include_bytes!("../assets/openapi.json"),
        is_compressed: false,
    },
];

/// The file at a path.
pub(crate) fn at(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}
