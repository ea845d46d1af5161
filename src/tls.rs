//! TLS: what PEM texts make of a listener, and who a client certificate says a sender is.
//!
//! One provider (ring), HTTP/1.1 only. A certificate is asked of clients where an authority for them is
//! configured, and never demanded during the handshake: load balancers look at `/ready` without one, and
//! `/ingest` refuses by itself.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

/// The texts of the three files. No `Debug`: one is a private key.
#[derive(PartialEq, Eq)]
pub struct Pems {
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
    pub client_ca: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Cert,
    Key,
    ClientCa,
}

/// Which of them is no good, and why. Holds nothing of their texts.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {message}", key = .part.key())]
pub struct Wrong {
    pub part: Part,
    pub message: String,
}

impl Part {
    pub fn key(self) -> &'static str {
        match self {
            Part::Cert => "cert_file",
            Part::Key => "key_file",
            Part::ClientCa => "client_ca_file",
        }
    }

    fn wrong(self, message: impl Into<String>) -> Wrong {
        Wrong { part: self, message: message.into() }
    }
}

/// What the listener serves with.
pub fn server(pems: &Pems) -> Result<Arc<ServerConfig>, Wrong> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&pems.cert, Part::Cert)?;
    let key = PrivateKeyDer::from_pem_slice(&pems.key)
        .map_err(|_| Part::Key.wrong("holds no private key in PEM (PKCS #8, PKCS #1 or SEC1), unencrypted"))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Part::Cert.wrong(error.to_string()))?;
    let builder = match &pems.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(pem, Part::ClientCa)? {
                roots.add(authority).map_err(|error| Part::ClientCa.wrong(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| Part::ClientCa.wrong(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| Part::Key.wrong(format!("does not go with the certificate: {error}")))?;
    if pems.client_ca.is_some() {
        // A session taken up again would not look at the client's certificate, which may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8], part: Part) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(part.wrong("holds no certificate in PEM")),
    }
}

/// The name under which a sender with this (verified) certificate is known. It changes with the certificate.
pub fn sender_name(leaf: &CertificateDer<'_>) -> String {
    format!("certificate:{:032x}", xxhash_rust::xxh3::xxh3_128(leaf))
}

/// For asking a listener on this machine whether it is ready: whoever answers there is who was asked.
pub fn probe() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes any certificate. For [`probe`] alone, which sends nothing worth keeping.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
