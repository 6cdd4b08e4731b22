//! Clients with TLS: their keys stay with the old proxy, and so do they.

use std::process::Command;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use super::*;

/// A client that speaks TLS, and believes every certificate.
struct Tls {
    stream: UnixStream,
    connection: ClientConnection,
}

#[derive(Debug)]
struct Believes;

impl ServerCertVerifier for Believes {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// A proxy with a certificate.
fn secured(folder: &tempfile::TempDir) -> World {
    let file = |name: &str| folder.path().join(name);
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=one.test",
            "-addext",
            "subjectAltName=DNS:one.test",
        ])
        .arg("-keyout")
        .arg(file("key"))
        .arg("-out")
        .arg(file("pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let settings = Settings {
        tls: vec![Files {
            certificate: file("pem"),
            key: file("key"),
        }],
        ..settings(RequestPolicy::NextAvailable)
    };
    let mut world = World::new(1, settings);
    world.proxy.load_certificates().unwrap();
    world
}

impl Tls {
    fn new(world: &mut World) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believes))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("one.test").unwrap();
        let mut client = Self {
            stream: world.connect(),
            connection: ClientConnection::new(Arc::new(config), name).unwrap(),
        };
        while client.connection.is_handshaking() {
            client.write();
            world.run();
            client.read();
        }
        client.write();
        world.run();
        client
    }

    fn write(&mut self) {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.stream).unwrap();
        }
    }

    fn say(&mut self, text: &str) {
        self.connection.writer().write_all(text.as_bytes()).unwrap();
        self.write();
    }

    /// What has come, and whether the connection has ended behind it, as it should.
    fn read(&mut self) -> (String, bool) {
        while self
            .connection
            .read_tls(&mut self.stream)
            .is_ok_and(|len| len > 0)
        {
            self.connection.process_new_packets().unwrap();
        }
        let mut said = Vec::new();
        let ended = self.connection.reader().read_to_end(&mut said).is_ok();
        (String::from_utf8(said).unwrap(), ended)
    }
}

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
