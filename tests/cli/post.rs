//! Those who take messages: web servers and mail servers, with and without TLS, as far as a night talks to them. The
//! certificate in `certificates/` is for `localhost`, by an authority whose key was thrown away; both last until 2126.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The certificate of the authority, which a system that trusts it would name in `SSL_CERT_FILE`.
pub(crate) fn authority() -> PathBuf {
    certificate("authority.pem")
}

fn certificate(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/cli/certificates").join(name)
}

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

fn secured(stream: TcpStream) -> impl Both {
    let certificate = CertificateDer::from_pem_file(certificate("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(self::certificate("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream)
}

/// Something that takes messages: what it answers to each, in order, the last answer for all that follow.
pub(crate) struct Post {
    pub(crate) url: String,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Post {
    pub(crate) fn open(answers: &[&str]) -> Self {
        let (url, taken) = Self::serve(answers, |stream| Box::new(stream));
        Self { url: format!("http://{url}"), taken }
    }

    /// The same behind TLS.
    pub(crate) fn secured(answers: &[&str]) -> Self {
        let (url, taken) = Self::serve(answers, |stream| Box::new(secured(stream)));
        let port = url.rsplit(':').next().unwrap();
        Self { url: format!("https://localhost:{port}"), taken }
    }

    fn serve(answers: &[&str], dress: fn(TcpStream) -> Box<dyn Both>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        let answers: Vec<String> = answers.iter().map(|a| (*a).to_owned()).collect();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(dress(stream.unwrap()));
                // Whoever does not trust the certificate goes away without a word.
                let Some(request) = request(&mut stream) else { continue };
                let answer = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(request);
                    &answers[(kept.len() - 1).min(answers.len() - 1)]
                };
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let length = answer.len();
                write!(stream.get_mut(), "{head}\r\nContent-Length: {length}\r\n\r\n{answer}").unwrap();
                stream.get_mut().flush().unwrap();
            }
        });
        (address, taken)
    }

    /// Request line, headers and body of each message so far.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

fn request(stream: &mut impl BufRead) -> Option<String> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(format!("{head}\n{}", String::from_utf8(body).unwrap()))
}

/// When a mail server speaks TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    Never,
    /// From the first byte.
    First,
    /// Once it was asked to.
    Later,
}

/// A mail server that takes every mail; with TLS only from user `night` with the password `word`.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    heard: Arc<Mutex<String>>,
}

impl MailServer {
    pub(crate) fn open(tls: Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let clerk = Clerk { kept: Arc::clone(&kept), proof: tls != Tls::Never };
                match tls {
                    Tls::Never => drop(clerk.talk(&mut &stream, true, "")),
                    Tls::First => drop(clerk.talk(&mut secured(stream), true, "AUTH LOGIN PLAIN")),
                    Tls::Later => {
                        if clerk.talk(&mut &stream, true, "STARTTLS") == Some(Asked::Tls) {
                            clerk.talk(&mut secured(stream), false, "AUTH LOGIN PLAIN");
                        }
                    }
                }
            }
        });
        Self { port, heard }
    }

    /// Everything that was said to it.
    pub(crate) fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }

    /// The text of the mail that it took.
    pub(crate) fn mail(&self) -> String {
        let heard = self.heard();
        let (_, body) = heard.split_once("\r\n\r\n").unwrap();
        let body = body.split_once("\r\n.\r\n").unwrap().0.replace("\r\n", "");
        String::from_utf8(STANDARD.decode(body).unwrap()).unwrap()
    }
}

#[derive(PartialEq, Eq)]
enum Asked {
    Tls,
    Nothing,
}

struct Clerk {
    kept: Arc<Mutex<String>>,
    proof: bool,
}

impl Clerk {
    /// Until the other side wants TLS or goes; `None` where the line breaks.
    fn talk(&self, stream: &mut impl Both, greets: bool, offers: &str) -> Option<Asked> {
        if greets {
            stream.write_all(b"220 post\r\n").ok()?;
        }
        let mut proven = !self.proof;
        let mut inside = false;
        loop {
            stream.flush().ok()?;
            let line = line(stream)?;
            self.kept.lock().unwrap().push_str(&line);
            let word = line.to_ascii_uppercase();
            let proof = format!("AUTH PLAIN {}\r\n", STANDARD.encode("\0night\0word"));
            let answer = match () {
                () if inside && line == ".\r\n" => {
                    inside = false;
                    "250 taken"
                }
                () if inside => continue,
                () if word.starts_with("EHLO") && !offers.is_empty() => &format!("250-post\r\n250 {offers}"),
                () if word == "STARTTLS\r\n" && offers == "STARTTLS" => {
                    stream.write_all(b"220 go on\r\n").ok()?;
                    return Some(Asked::Tls);
                }
                () if line == proof => {
                    proven = true;
                    "235 known"
                }
                () if word.starts_with("AUTH") => "535 unknown",
                () if word.starts_with("QUIT") => {
                    stream.write_all(b"221 bye\r\n").ok()?;
                    return Some(Asked::Nothing);
                }
                () if word.starts_with("MAIL") && !proven => "530 who are you",
                () if word.starts_with("DATA") => {
                    inside = true;
                    "354 go on"
                }
                () => "250 ok",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
        }
    }
}

/// Byte by byte: what follows may already be TLS.
fn line(stream: &mut impl Read) -> Option<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        line.push(byte[0]);
    }
    String::from_utf8(line).ok()
}
