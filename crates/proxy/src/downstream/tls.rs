//! TLS towards clients: certificates, which one a client gets, and their renewal.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};

/// Files with a certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The certificates in use.
pub(crate) struct Certificates {
    files: Vec<Files>,
    /// When the files were last changed, as they were last read.
    changed: Vec<Option<SystemTime>>,
    config: Arc<ServerConfig>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// Says which file cannot be used, and why.
    pub(crate) fn load(files: Vec<Files>) -> Result<Self, String> {
        Ok(Self {
            changed: changes(&files),
            config: Arc::new(configure(&files)?),
            files,
        })
    }

    /// Reads the files again if they have changed.
    ///
    /// # Errors
    /// Says which file cannot be used, and why; then those that were read before stay in use.
    pub(crate) fn refresh(&mut self) -> Result<(), String> {
        let changed = changes(&self.files);
        if changed != self.changed {
            // Read once, whatever comes of it: half a file will change again.
            self.changed = changed;
            self.config = Arc::new(configure(&self.files)?);
        }
        Ok(())
    }

    /// A connection that begins.
    pub(crate) fn begin(&self) -> Result<ServerConnection, rustls::Error> {
        let mut connection = ServerConnection::new(self.config.clone())?;
        // The link bounds what waits to be written.
        connection.set_buffer_limit(None);
        Ok(connection)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.files).finish()
    }
}

fn changes(files: &[Files]) -> Vec<Option<SystemTime>> {
    files
        .iter()
        .flat_map(|files| [&files.certificate, &files.key])
        .map(|path| std::fs::metadata(path).and_then(|it| it.modified()).ok())
        .collect()
}

fn configure(files: &[Files]) -> Result<ServerConfig, String> {
    let certified: Result<Vec<_>, _> = files.iter().map(read).collect();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = builder
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName(certified?)));
    // Kept by the clients: sessions in our memory would be of the last few hundred clients alone.
    config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn read(files: &Files) -> Result<Arc<CertifiedKey>, String> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| {
            format!(
                "the certificate {} cannot be read: {}",
                files.certificate.display(),
                why(&error)
            )
        })?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
        format!(
            "the key {} cannot be read: {}",
            files.key.display(),
            why(&error)
        )
    })?;
    let certified = ring::sign::any_supported_type(&key)
        .map(|key| CertifiedKey::new(chain, key))
        .map_err(|error| format!("the key {} cannot be used: {error}", files.key.display()))?;
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Arc::new(certified))
        }
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(format!(
                "the key {} does not belong to the certificate {}",
                files.key.display(),
                files.certificate.display()
            ))
        }
        Err(error) => Err(format!(
            "the certificate {} cannot be used: {error}",
            files.certificate.display()
        )),
    }
}

/// Why a file cannot be read, without "I/O error" before what the kernel says.
fn why(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Gives a client the first certificate that is for the name it asks for, or the first of all.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let suits = |certified: &&Arc<CertifiedKey>| {
            let parsed = certified
                .end_entity_cert()
                .ok()
                .and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
            matches!((&parsed, &name), (Some(parsed), Some(name))
                if verify_server_name(parsed, name).is_ok())
        };
        self.0.iter().find(suits).or(self.0.first()).cloned()
    }
}
