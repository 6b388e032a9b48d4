//! As much of an XMPP client as it takes to log in, to send chat messages and to read them. RFC 6120, over direct TLS.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ejabberd::Ejabberd;

const STREAM: &str = "<stream:stream to='localhost' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
/// With so many bytes fed they are written.
const WRITE: usize = 16 * 1024;

/// A user who is logged in and available.
pub(crate) struct Client {
    /// Its full name, which the server has made up.
    pub(crate) name: String,
    back: Reader,
    out: Writer,
}

impl Client {
    pub(crate) async fn connect(server: &Ejabberd) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(server.certificate.clone()).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(server.address).await.expect("the server listens");
        tcp.set_nodelay(true).expect("a socket");
        let localhost = ServerName::try_from("localhost").expect("a name");
        let tls = TlsConnector::from(Arc::new(config)).connect(localhost, tcp).await.expect("a TLS handshake");
        let (back, out) = split(tls);
        let (mut back, mut out) = (Reader { tls: back, text: String::new() }, Writer { tls: out, text: String::new() });
        let steps = [
            (STREAM, "</stream:features>"),
            ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>", "<success"),
            (STREAM, "</stream:features>"),
            ("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>"),
        ];
        let mut answer = String::new();
        for (say, until) in steps {
            out.text.push_str(say);
            out.flush().await;
            answer = back.until(until).await;
        }
        let name = answer.split_once("<jid>").and_then(|(_, name)| name.split_once("</jid>")).expect("a name").0;
        Self { name: name.to_owned(), back, out }
    }

    pub(crate) fn split(self) -> (Reader, Writer) {
        (self.back, self.out)
    }
}

pub(crate) struct Reader {
    tls: ReadHalf<TlsStream<TcpStream>>,
    /// Not looked at yet.
    text: String,
}

impl Reader {
    async fn more(&mut self) {
        let mut bytes = [0; 32 * 1024];
        let read = self.tls.read(&mut bytes).await.expect("the connection lives");
        assert_ne!(read, 0, "the server ended the connection: {}", self.text);
        self.text.push_str(std::str::from_utf8(bytes.get(..read).unwrap_or_default()).expect("ASCII"));
    }

    async fn until(&mut self, word: &str) -> String {
        while !self.text.contains(word) {
            self.more().await;
        }
        std::mem::take(&mut self.text)
    }

    /// Waits for messages, and gives the bodies of those that are here.
    pub(crate) async fn bodies(&mut self) -> Vec<String> {
        loop {
            let mut bodies = Vec::new();
            let mut rest = self.text.as_str();
            while let Some((message, after)) = rest.split_once("</message>") {
                let body = message.split_once("<body>").and_then(|(_, body)| body.split_once("</body>"));
                bodies.push(body.expect("a body").0.to_owned());
                rest = after;
            }
            if !bodies.is_empty() {
                self.text = rest.to_owned();
                return bodies;
            }
            self.more().await;
        }
    }
}

pub(crate) struct Writer {
    tls: WriteHalf<TlsStream<TcpStream>>,
    /// Not written yet.
    text: String,
}

impl Writer {
    /// Writes it now or with the next [`Writer::flush`].
    pub(crate) async fn feed(&mut self, to: &str, body: &str) {
        self.text.push_str("<message type='chat' to='");
        self.text.push_str(to);
        self.text.push_str("'><body>");
        self.text.push_str(body);
        self.text.push_str("</body></message>");
        if self.text.len() >= WRITE {
            self.flush().await;
        }
    }

    pub(crate) async fn flush(&mut self) {
        if !self.text.is_empty() {
            self.tls.write_all(self.text.as_bytes()).await.expect("the server reads");
            self.tls.flush().await.expect("the server reads");
            self.text.clear();
        }
    }
}
