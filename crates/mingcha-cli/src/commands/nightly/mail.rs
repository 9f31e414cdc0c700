//! A short mail through a mail server: as much of SMTP as one message in plain text needs. Knows no night.
//!
//! Written here because lettre, which would do it, asks for features of crates that DataFusion stands on. TLS is rustls:
//! from the first byte (`smtps://`), or once the server offers it (`smtp://`). A password is never sent without it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use mingcha_rules::text::Text;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::notify::{PATIENCE, no_tls, said, tls_fault};
use crate::clock;
use crate::config::Listener;

/// Lines that one answer may have.
const MOST_LINES: usize = 100;
/// Characters of base64 in a line.
const WIDTH: usize = 76;

/// Sends `text` as `listener` says.
pub(super) fn send(listener: &Listener, password: &str, subject: &str, text: &str) -> Result<(), Text> {
    let server = Server::parse(&listener.url)?;
    let from = address(&listener.from)?;
    let to = listener.to.iter().map(|to| address(to)).collect::<Result<Vec<_>, _>>()?;
    let letter = letter(listener, subject, text);
    let stream = server.connect()?;
    let mut line = if server.tls { Line::secured(stream, &server.host)? } else { Line::plain(stream) };
    line.expect(220)?;
    let mut offers = line.hello()?;
    if !server.tls && offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
        line.say("STARTTLS", 220)?;
        line = line.secure(&server.host)?;
        offers = line.hello()?;
    }
    if !listener.user.is_empty() {
        if !line.secret {
            return Err(said(
                "邮件服务器没有 TLS，不发送密码",
                "the mail server has no TLS, and a password is not sent without it",
            ));
        }
        if !offers.iter().any(|o| o.to_uppercase().starts_with("AUTH") && o.to_uppercase().contains("PLAIN"))
        {
            return Err(said("邮件服务器不支持 AUTH PLAIN", "the mail server does not take AUTH PLAIN"));
        }
        let proof = STANDARD.encode(format!("\0{}\0{password}", listener.user));
        line.say(&format!("AUTH PLAIN {proof}"), 235)?;
    }
    line.say(&format!("MAIL FROM:<{from}>"), 250)?;
    for to in &to {
        line.say(&format!("RCPT TO:<{to}>"), 250)?;
    }
    line.say("DATA", 354)?;
    line.say(&format!("{letter}\r\n."), 250)?;
    // It is taken; whether the server also says goodbye does not matter.
    let _ = line.say("QUIT", 221);
    Ok(())
}

/// The message: ASCII throughout, so that no server has to be asked what it takes, and no line begins with a dot.
fn letter(listener: &Listener, subject: &str, text: &str) -> String {
    let date = DateTime::parse_from_rfc3339(clock::now().as_stored())
        .map(|now| now.to_rfc2822())
        .unwrap_or_default();
    let body = STANDARD.encode(text.replace('\n', "\r\n"));
    let lines: Vec<&str> =
        (0..body.len()).step_by(WIDTH).map(|at| &body[at..body.len().min(at + WIDTH)]).collect();
    // A line holds 78 characters: 39 bytes of text in a word, ended where a character ends.
    let mut words = vec![String::new()];
    for c in subject.chars() {
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > 39) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let words: Vec<String> =
        words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    let heads = [
        format!("From: {}", listener.from),
        format!("To: {}", listener.to.join(", ")),
        format!("Subject: {}", words.join("\r\n ")),
        format!("Date: {date}"),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
        "Auto-Submitted: auto-generated".to_owned(),
    ];
    format!("{}\r\n\r\n{}", heads.join("\r\n"), lines.join("\r\n"))
}

/// The address in `Name <name@place>`, or alone. What could end a command or a header is refused.
fn address(text: &str) -> Result<&str, Text> {
    let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>')).trim();
    let sound = text.is_ascii() && !text.chars().any(char::is_control);
    let fits = |part: &str| !part.is_empty() && !part.contains([' ', '<', '>', ',', ';', '"']);
    match inner.split_once('@') {
        Some((name, place)) if sound && fits(name) && fits(place) && !place.contains('@') => Ok(inner),
        _ => Err(said(format!("不是邮箱地址：{text:?}"), format!("this is no mail address: {text:?}"))),
    }
}

/// Where the mail server is.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
    tls: bool,
}

impl Server {
    fn parse(url: &str) -> Result<Self, Text> {
        let wrong = || {
            said(
                "邮件服务器地址应写成 smtp://host:port 或 smtps://host:port",
                "wanted the mail server as smtp://host:port or smtps://host:port",
            )
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (tls, usual) = match scheme {
            "smtp" => (false, 25),
            "smtps" => (true, 465),
            _ => return Err(wrong()),
        };
        let place = rest.trim_end_matches('/');
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (place, usual),
        };
        if host.is_empty() || host.contains(['/', '@', '?', ' ']) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }

    fn connect(&self) -> Result<TcpStream, Text> {
        let unknown = |_| said("找不到邮件服务器", "the mail server is not known");
        let places = (self.host.as_str(), self.port).to_socket_addrs().map_err(unknown)?;
        for place in places {
            if let Ok(stream) = TcpStream::connect_timeout(&place, PATIENCE) {
                let patient =
                    stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
                patient.map_err(broken)?;
                return Ok(stream);
            }
        }
        Err(said("无法连接邮件服务器", "there is no connection to the mail server"))
    }
}

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

/// A conversation with a mail server.
struct Line {
    stream: BufReader<Box<dyn Both>>,
    /// The connection itself, while it is not secured.
    bare: Option<TcpStream>,
    /// Whether nobody can listen.
    secret: bool,
}

impl Line {
    fn plain(stream: TcpStream) -> Self {
        let bare = stream.try_clone().ok();
        Self { stream: BufReader::new(Box::new(stream)), bare, secret: false }
    }

    fn secured(stream: TcpStream, host: &str) -> Result<Self, Text> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| no_tls())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(|_| no_tls())?;
        let tls = ClientConnection::new(Arc::new(config), name).map_err(|_| no_tls())?;
        let stream = StreamOwned::new(tls, stream);
        Ok(Self { stream: BufReader::new(Box::new(stream)), bare: None, secret: true })
    }

    /// The same conversation, with TLS. What the server said before is forgotten: it could have been anybody.
    fn secure(self, host: &str) -> Result<Self, Text> {
        let Some(stream) = self.bare else { return Ok(self) };
        Self::secured(stream, host)
    }

    /// Says hello; gives what the server offers.
    fn hello(&mut self) -> Result<Vec<String>, Text> {
        let lines = self.say("EHLO mingcha", 250)?;
        Ok(lines.into_iter().skip(1).collect())
    }

    fn say(&mut self, text: &str, wanted: u16) -> Result<Vec<String>, Text> {
        let stream = self.stream.get_mut();
        stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(b"\r\n")).map_err(broken)?;
        stream.flush().map_err(broken)?;
        self.expect(wanted)
    }

    /// The server's answer, line by line; refused where its number is another.
    fn expect(&mut self, wanted: u16) -> Result<Vec<String>, Text> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.by_ref().take(1_000).read_line(&mut line).map_err(broken)?;
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            let Some(code) = code.filter(|_| lines.len() < MOST_LINES) else {
                return Err(said(
                    "邮件服务器的回答无法识别",
                    "the mail server's answer cannot be understood",
                ));
            };
            if code != wanted {
                return Err(said(
                    format!("邮件服务器返回 {code}"),
                    format!("the mail server answered {code}"),
                ));
            }
            let more = line.get(3..4) == Some("-");
            lines.push(line.get(4..).unwrap_or_default().trim_end().to_owned());
            if !more {
                return Ok(lines);
            }
        }
    }
}

fn broken(error: std::io::Error) -> Text {
    let kind = error.kind();
    tls_fault(&error).unwrap_or_else(|| {
        said(
            format!("与邮件服务器的连接出错（{kind:?}）"),
            format!("the connection to the mail server failed ({kind:?})"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_with_its_usual_port_and_nothing_else_is_one() {
        let server = |host: &str, port, tls| Ok(Server { host: host.to_owned(), port, tls });
        assert_eq!(Server::parse("smtp://post.example"), server("post.example", 25, false));
        assert_eq!(Server::parse("smtps://post.example/"), server("post.example", 465, true));
        assert_eq!(Server::parse("smtp://127.0.0.1:2525"), server("127.0.0.1", 2525, false));
        for bad in [
            "post.example",
            "http://post.example",
            "smtp://",
            "smtp://a b",
            "smtp://u:p@post",
            "smtp://x:port",
        ] {
            assert!(Server::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_could_end_a_command_is_no_address() {
        assert_eq!(address("Night <night@office.example>"), Ok("night@office.example"));
        assert_eq!(address("night@office.example"), Ok("night@office.example"));
        for bad in
            ["", "night", "a@b@c", "a@", "a@b>\r\nRCPT TO:<c@d", "a@b\r\nX: y", "a b@c", "夜@office.example"]
        {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_letter_is_ascii_in_short_lines_and_says_what_was_to_be_said() {
        let listener = Listener {
            from: "night@office.example".to_owned(),
            to: vec!["a@office.example".to_owned(), "b@office.example".to_owned()],
            ..Listener::default()
        };
        let text = "新增 3，变化 1\n.\n完".repeat(20);
        let letter = letter(&listener, "【明察】2026-07-01 夜间工作完成，有需要处理的问题", &text);
        assert!(letter.is_ascii());
        assert!(
            letter
                .split("\r\n")
                .all(|line| line.len() <= 78 && !line.starts_with('.') && !line.contains('\n'))
        );
        let (heads, body) = letter.split_once("\r\n\r\n").unwrap();
        assert!(heads.contains("To: a@office.example, b@office.example\r\n"));
        let bytes = STANDARD.decode(body.replace("\r\n", "")).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap().replace("\r\n", "\n"), text);
    }
}
