//! Clients that speak TLS.

use std::process::Command;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
    SupportedProtocolVersion,
};

use super::*;

/// A client that speaks TLS, and believes every certificate.
pub(super) struct Tls {
    pub(super) stream: UnixStream,
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
pub(super) fn secured(folder: &tempfile::TempDir) -> World {
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
    /// A client whose handshake is done.
    pub(super) fn new(world: &mut World) -> Self {
        let mut client = Self::begin(world, &[&TLS13]);
        while client.connection.is_handshaking() {
            client.write();
            world.run();
            client.read();
        }
        client.write();
        world.run();
        client
    }

    /// A client that has said nothing yet.
    fn begin(world: &mut World, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believes))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("one.test").unwrap();
        Self {
            stream: world.connect(),
            connection: ClientConnection::new(Arc::new(config), name).unwrap(),
        }
    }

    pub(super) fn write(&mut self) {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.stream).unwrap();
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        self.connection.writer().write_all(text.as_bytes()).unwrap();
        self.write();
    }

    /// What has come, and whether the connection has ended behind it, as it should.
    pub(super) fn read(&mut self) -> (String, bool) {
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

/// However the first words of a client are cut, and whatever it says behind them, it is served.
#[test]
fn handshakes_come_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    for version in [&TLS12, &TLS13] {
        for size in [1, 100, usize::MAX] {
            let mut world = secured(&folder);
            let mut client = Tls::begin(&mut world, &[version]);
            while client.connection.is_handshaking() {
                let mut said = Vec::new();
                while client.connection.wants_write() {
                    client.connection.write_tls(&mut said).unwrap();
                }
                for piece in said.chunks(size) {
                    world.send(&mut client.stream, piece);
                }
                world.run();
                client.read();
            }
            client.say(GET);
            world.run();
            let (_, mut worker) = world.take();
            assert!(arrived(&mut worker).0.starts_with("GET / "));
            world.send(&mut worker, OK);
            assert!(client.read().0.ends_with("ok"), "{version:?} {size}");
        }
    }
}

/// What is no TLS ends the connection, as does a client that leaves while a thread has its handshake; nothing
/// of either is left.
#[test]
fn handshakes_fail_and_are_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = secured(&folder);
    let mut wrong = world.connect();
    world.send(&mut wrong, GET);
    let mut clients: Vec<_> = (0..50).map(|_| Tls::begin(&mut world, &[&TLS13])).collect();
    clients.iter_mut().for_each(Tls::write);
    world.see_to_events();
    drop(clients);
    while world.proxy.clients.len() > 0 {
        world.run();
    }
    let mut said = Vec::new();
    wrong.read_to_end(&mut said).unwrap();
    // An alert: a record of the kind 21.
    assert_eq!(said.first(), Some(&21));
    let mut client = Tls::new(&mut world);
    client.say(GET);
    world.run();
    assert!(arrived(&mut world.take().1).0.starts_with("GET / "));
}

/// A file that cannot be used is named, with the reason.
#[test]
fn wrong_certificates_are_named() {
    let [one, other, empty] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    drop((secured(&one), secured(&other)));
    for (certificate, key, expected) in [
        (&empty, &one, "the certificate CERT cannot be read: No such"),
        (&one, &empty, "the key KEY cannot be read: No such file"),
        (
            &one,
            &other,
            "the key KEY does not belong to the certificate CERT",
        ),
    ] {
        let (certificate, key) = (certificate.path().join("pem"), key.path().join("key"));
        let expected = expected
            .replace("CERT", &certificate.display().to_string())
            .replace("KEY", &key.display().to_string());
        let loaded = downstream::tls::Certificates::load(vec![Files { certificate, key }]);
        let error = loaded.err().unwrap();
        assert!(error.starts_with(&expected), "{error}");
    }
}
