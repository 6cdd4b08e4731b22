//! The page and what belongs to it, all within the executable.

/// A file of the page.
#[derive(Debug)]
pub(crate) struct Asset {
    pub(crate) path: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) content: &'static [u8],
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

static ASSETS: [Asset; 13] = [
    Asset {
        path: "/",
        kind: "text/html; charset=utf-8",
        content: include_bytes!("../assets/index.html"),
    },
    Asset {
        path: "/icon.svg",
        kind: "image/svg+xml",
        content: include_bytes!("../assets/icon.svg"),
    },
    Asset {
        path: "/style.css",
        kind: CSS,
        content: include_bytes!("../assets/style.css"),
    },
    Asset {
        path: "/uplot.css",
        kind: CSS,
        content: include_bytes!("../assets/uplot.css"),
    },
    Asset {
        path: "/uplot.js",
        kind: JAVASCRIPT,
        content: include_bytes!("../assets/uplot.js"),
    },
    Asset {
        path: "/main.js",
        kind: JAVASCRIPT,
        content: include_bytes!("../assets/main.js"),
    },
    Asset {
        path: "/list.js",
        kind: JAVASCRIPT,
        content: include_bytes!("../assets/list.js"),
    },
    Asset {
        path: "/detail.js",
        kind: JAVASCRIPT,
        content: include_bytes!("../assets/detail.js"),
    },
    Asset {
        path: "/orders.js",
        kind: JAVASCRIPT,
        content: include_bytes!("../assets/orders.js"),
    },
    Asset {
        path: "/dom.js",
        kind: JAVASCRIPT,
        content: include_bytes!("../assets/dom.js"),
    },
    Asset {
        path: "/charts.js",
        kind: JAVASCRIPT,
        content: include_bytes!("../assets/charts.js"),
    },
    Asset {
        path: "/logs.js",
        kind: JAVASCRIPT,
        content: include_bytes!("../assets/logs.js"),
    },
    Asset {
        path: "/api/v1/openapi.json",
        kind: "application/json",
        content: include_bytes!("../assets/openapi.json"),
    },
];

/// The file at a path.
pub(crate) fn at(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}
