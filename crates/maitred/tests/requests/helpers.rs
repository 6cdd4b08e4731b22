//! Sockets that an app has for itself beside the one that serves: nothing of HTTP is spoken there.

use crate::apps::started;
use crate::harness::{Setup, beside_others};

/// The server of `multiprocessing.Manager` speaks first, and with the processes of its app alone.
#[test]
fn a_manager_of_multiprocessing_serves_its_app() {
    let _turn = beside_others();
    let text = r#"
import multiprocessing, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = state["known"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        state = manager.dict()
        state["known"] = "by the manager"
        HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;
    let setup = Setup::program("app.py", text).option("--per", "request");
    let mut run = started(setup, 2);
    for _ in 0..4 {
        let mut client = crate::client::Client::connect(&run);
        assert_eq!(client.get("/").body, b"by the manager");
    }
    let port = run.port;
    let others = run.events().into_iter().filter(|event| {
        event.is("listening") && !event.text("address").ends_with(&format!(":{port}"))
    });
    assert_eq!(others.count(), 0, "{}", run.story());
}
