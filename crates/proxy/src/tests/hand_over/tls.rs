//! Clients with TLS: their keys stay with the old proxy, and so do they.

use super::super::tls::{Tls, secured};
use super::*;

#[test]
fn clients_with_tls_are_served_until_they_hear_that_they_should_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = secured(&folder);
    let mut clients = [(); 3].map(|()| Tls::new(&mut world));
    let [idle, busy, asks] = &mut clients;
    busy.say(GET);
    world.run();
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    let mut two = Two::after(world);
    assert_eq!(two.clients(), (3, 0));
    // The response in progress, and one to a request that comes later: a worker of the new proxy's has it.
    two.send(&mut worker, LAST);
    asks.say(&get("later"));
    two.run();
    assert!(two.answer().starts_with("GET /later "));
    for client in [busy, asks] {
        let (said, ended) = client.read();
        assert!(said.starts_with("HTTP/1.1 200 ") && said.ends_with("ok"));
        assert!(said.contains("Connection: close\r\n") && ended, "{said}");
        client.stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
    two.run();
    // The idle one may ask until the end.
    assert_eq!(two.clients(), (1, 0));
    assert!(!idle.read().1 && !two.old.proxy.has_handed_over());
    two.old.proxy.cut();
    assert!(two.old.proxy.has_handed_over());
    let (said, ended) = idle.read();
    assert!(said.is_empty() && ended);
}
