//! Messages about a night, and how they travel: 企业微信 and 钉钉 robots, any webhook that takes JSON, mail. A message
//! holds counts, ids of rules, names of expected files and a link; nothing about anybody ever comes here, because
//! nothing of a night's record is about anybody.
//!
//! These are the only connections that Mingcha opens, to places that the office wrote into `mingcha.toml`; without
//! `[[notify]]` it opens none. A message that cannot be delivered fails no night: it is told, kept and tried again.
//! One that was delivered in the moment of a power cut may come twice.
//!
//! HTTP goes through ureq and not reqwest: it blocks, needs no second runtime and a third of the crates. Certificates
//! are those that the system trusts, so that an office's own authority works.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use mingcha_ledger::book::Mark;
use mingcha_rules::diagnostic::Diagnostic;
use mingcha_rules::text::{Lang, Text};
use serde_json::json;
use sha2::Sha256;

use super::mail;
use super::state::{Letter, NightRecord, Step};
use crate::config::{Carrier, Listener};

/// How long a delivery may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that 企业微信 takes.
const MOST_BYTES: usize = 2048;

/// The message about a night: one that was finished, or one that stopped.
pub(super) fn letter(night: &NightRecord, lang: Lang, link: Option<&str>) -> Letter {
    let say = |zh: String, en: String| if lang == Lang::Zh { zh } else { en };
    let stopped = !night.fault.is_empty();
    let trouble = stopped || !matches!(night.exit, 0 | 1) || night.late;
    let day = &night.as_of;
    let subject = match (stopped, night.exit) {
        (true, _) => {
            say(format!("【明察】{day} 夜间工作未完成"), format!("[Mingcha] the night of {day} stopped"))
        }
        (false, 0 | 1) => {
            say(format!("【明察】{day} 夜间工作完成"), format!("[Mingcha] the night of {day} is done"))
        }
        (false, _) => say(
            format!("【明察】{day} 夜间工作完成，有需要处理的问题"),
            format!("[Mingcha] the night of {day} is done, with something to look at"),
        ),
    };
    let mut lines = vec![subject.clone()];
    let mut line = |zh: String, en: String| lines.push(say(zh, en));
    if stopped {
        let step = night.step.title();
        line(
            format!("停在“{}”（{}）；处理后再次执行 mingcha nightly，从这一步继续", step.zh, night.fault),
            format!(
                "it stopped while {} ({}); start `mingcha nightly` again to go on from there",
                step.en, night.fault
            ),
        );
    }
    if night.late {
        line(
            format!("补做：此前漏掉 {} 夜", night.missed),
            format!("late: {} nights before it were missed", night.missed),
        );
    }
    if night.step > Step::Ledger {
        let marks = |of: fn(&Text) -> &String, between: &str| {
            let one = |mark: &Mark| {
                let n = night.marks.get(mark.as_str()).copied().unwrap_or(0);
                format!("{} {n}", of(&mark.title()))
            };
            Mark::ALL.iter().map(one).collect::<Vec<_>>().join(between)
        };
        line(
            format!("台账第 {} 夜：{}", night.number, marks(|t| &t.zh, "，")),
            format!("night {} of the ledger: {}", night.number, marks(|t| &t.en, ", ")),
        );
    }
    let list = |names: Vec<&String>, between: &str| {
        names.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(between)
    };
    let mut some = |names: Vec<&String>, zh: &str, en: &str| {
        if !names.is_empty() {
            lines.push(say(
                format!("{zh}（{}）：{}", names.len(), list(names.clone(), "、")),
                format!("{en} ({}): {}", names.len(), list(names.clone(), ", ")),
            ));
        }
    };
    some(night.missing.iter().collect(), "未到的数据", "extracts that did not come");
    some(night.without.keys().collect(), "文件有误、未采用的数据集", "datasets left out for a broken file");
    some(night.not_evaluated.keys().collect(), "没有结果的规则", "rules without an answer");
    some(night.held.keys().collect(), "暂缓导出的规则", "rules whose lists are held back");
    let without: Vec<String> =
        night.not_handed_out.iter().map(|(place, code)| format!("[[list]] {place} {code}")).collect();
    some(without.iter().collect(), "未能生成的下发清单", "lists that could not be made");
    some(night.handed_out.iter().collect(), "已生成的下发清单", "lists to be handed out");
    for (n, zh, en) in [
        (night.unlisted, "不在任何下发清单中的待办线索", "open leads that are on nobody's list"),
        (night.cancellations, "已发出而不再成立、待通知持有人", "handed out and standing no more"),
        (night.to_purge, "保存期已满、待销毁", "past their time and to be purged"),
    ] {
        if n > 0 {
            lines.push(say(format!("{zh}：{n}"), format!("{en}: {n}")));
        }
    }
    if let Some(link) = link {
        lines.push(link.replace("{as_of}", day));
    }
    let facts = json!({
        "as_of": night.as_of, "night": night.number, "marks": night.marks, "late": night.late, "missed": night.missed,
        "missing": night.missing, "without": night.without.keys().collect::<Vec<_>>(), "not_evaluated": night.not_evaluated,
        "held": night.held.keys().collect::<Vec<_>>(), "handed_out": night.handed_out, "not_handed_out": night.not_handed_out, "unlisted": night.unlisted, "cancellations": night.cancellations, "to_purge": night.to_purge,
        "exit_code": night.exit, "fault": night.fault, "link": link.map(|link| link.replace("{as_of}", day)),
    });
    Letter { to: 0, subject, text: lines.join("\n"), facts, trouble, failed: 0 }
}

/// Delivers `letter` to `listener`, or says why not; never with an address or a key, which are secrets.
pub(super) fn deliver(listener: &Listener, letter: &Letter, millis: u128) -> Result<(), Text> {
    let url = listener.url.trim_end_matches('/');
    match listener.carrier {
        Carrier::WeCom => {
            let token = secret(&listener.token)?;
            let body = json!({"msgtype": "text", "text": {"content": cut(&letter.text)}});
            robot(&format!("{url}/cgi-bin/webhook/send?key={}", plain(&token)?), &body)
        }
        Carrier::DingTalk => {
            let token = secret(&listener.token)?;
            let mut url = format!("{url}/robot/send?access_token={}", plain(&token)?);
            let key = secret(&listener.secret)?;
            if !key.is_empty() {
                url.push_str(&format!("&timestamp={millis}&sign={}", signature(&key, millis)));
            }
            let body = json!({"msgtype": "text", "text": {"content": letter.text}});
            robot(&url, &body)
        }
        Carrier::Json => {
            let body = json!({"subject": letter.subject, "text": letter.text, "trouble": letter.trouble, "facts": letter.facts});
            post(url, Some(&secret(&listener.token)?), &body).map(drop)
        }
        Carrier::Smtp => mail::send(listener, &secret(&listener.secret)?, &letter.subject, &letter.text),
    }
}

pub(super) fn said(zh: impl Into<String>, en: impl Into<String>) -> Text {
    Text { zh: zh.into(), en: en.into() }
}

/// A secret as it stands, from the environment (`env:NAME`) or from a file (`file:PATH`).
fn secret(text: &str) -> Result<String, Text> {
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name)
            .map_err(|_| said(format!("环境变量 {name} 未设置"), format!("the variable {name} is not set")));
    }
    if let Some(path) = text.strip_prefix("file:") {
        let read = std::fs::read_to_string(path);
        return read
            .map(|text| text.trim().to_owned())
            .map_err(|_| said(format!("文件 {path} 无法读取"), format!("the file {path} cannot be read")));
    }
    Ok(text.to_owned())
}

/// A key as part of an address: nothing in it may end the key.
fn plain(token: &str) -> Result<&str, Text> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    if !token.is_empty() && token.bytes().all(fits) {
        return Ok(token);
    }
    Err(said("密钥为空或含有不允许的字符", "the token is empty or holds a character that no token has"))
}

/// What 钉钉 wants beside the time: HMAC-SHA256 over time and secret, in base64, fit for an address.
fn signature(key: &str, millis: u128) -> String {
    // A key of any length fits.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(format!("{millis}\n{key}").as_bytes());
    let text = STANDARD.encode(mac.finalize().into_bytes());
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

/// At most [`MOST_BYTES`], ended where a character ends.
fn cut(text: &str) -> String {
    if text.len() <= MOST_BYTES {
        return text.to_owned();
    }
    let end = (0..=MOST_BYTES - '…'.len_utf8()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// A robot's answer says whether it took the message; the status does not.
fn robot(url: &str, body: &serde_json::Value) -> Result<(), Text> {
    let answer = post(url, None, body)?;
    let code = serde_json::from_str::<serde_json::Value>(&answer).ok().and_then(|v| v["errcode"].as_i64());
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(said(format!("对方返回 errcode {code}"), format!("it answered errcode {code}"))),
        None => Err(said("对方的回答无法识别", "its answer cannot be understood")),
    }
}

fn post(url: &str, token: Option<&str>, body: &serde_json::Value) -> Result<String, Text> {
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> = roots.iter().map(|cert| ureq::tls::Certificate::from_der(cert).to_owned()).collect();
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::from(roots)).build();
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls)
        .build();
    let agent: ureq::Agent = config.into();
    let mut request = agent.post(url).header("Content-Type", "application/json; charset=utf-8");
    if let Some(token) = token.filter(|token| !token.is_empty()) {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut answer = request.send(body.to_string()).map_err(|e| refused(&e))?;
    let status = answer.status().as_u16();
    if !(200..300).contains(&status) {
        return Err(said(format!("对方返回状态 {status}"), format!("it answered status {status}")));
    }
    answer.body_mut().read_to_string().map_err(|e| refused(&e))
}

/// In our words: those of the library may repeat the address, and the key in it.
fn refused(error: &ureq::Error) -> Text {
    match error {
        ureq::Error::Timeout(_) => said("超时", "it took too long"),
        ureq::Error::HostNotFound => said("找不到主机", "the host is not known"),
        ureq::Error::Io(e) => tls_fault(e).unwrap_or_else(|| {
            said(format!("连接出错（{:?}）", e.kind()), format!("the connection failed ({:?})", e.kind()))
        }),
        ureq::Error::ConnectionFailed => said("无法连接", "there is no connection"),
        ureq::Error::BadUri(_) => said("地址不合法", "the address is none"),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => no_tls(),
        _ => said("请求失败", "the request failed"),
    }
}

pub(super) fn no_tls() -> Text {
    said("TLS 握手失败，检查证书", "TLS failed; look at the certificate")
}

/// What a connection says once it is broken, where TLS broke it.
pub(super) fn tls_fault(error: &std::io::Error) -> Option<Text> {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()).then(no_tls)
}

/// A delivery that failed, for whoever started the night.
pub(super) fn undelivered(place: usize, why: &Text, tries: u64) -> Diagnostic {
    let n = place + 1;
    Diagnostic::warning(
        "MC904",
        format!("第 {n} 个 [[notify]] 的通知没有送达（第 {tries} 次）：{}", why.zh),
        format!("the message to [[notify]] number {n} was not delivered (try {tries}): {}", why.en),
    )
    .with_help("夜间工作不受影响；下次启动时再送", "the night is not affected; the next start tries again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_the_robot_computes() {
        // Computed with Python: base64(hmac_sha256(key, f"{millis}\n{key}")), then quoted.
        assert_eq!(signature("SECdemo", 1_782_000_000_000), EXPECTED_SIGNATURE);
    }

    const EXPECTED_SIGNATURE: &str = "B9EWQF1hE1jpK8P3gBgwLDtyyECpU3ZErhXH2akmgFw%3D";

    #[test]
    fn a_long_text_is_cut_where_a_character_ends() {
        let text = "线".repeat(1_000);
        let short = cut(&text);
        assert!(short.len() <= MOST_BYTES && short.len() > MOST_BYTES - 8, "{}", short.len());
        assert!(short.ends_with("线…"));
        assert_eq!(cut("短"), "短");
    }

    #[test]
    fn a_key_that_would_end_the_address_is_refused() {
        for bad in ["", "a&b=c", "a b", "a#b", "a/b"] {
            assert!(plain(bad).is_err(), "{bad}");
        }
        assert_eq!(plain("693a91f6-7xxx-4bc4"), Ok("693a91f6-7xxx-4bc4"));
    }

    #[test]
    fn a_night_that_stopped_says_where_and_what_next() {
        let night = NightRecord {
            as_of: "2026-07-01".to_owned(),
            step: Step::Prepare,
            fault: "MC083".to_owned(),
            exit: 70,
            ..NightRecord::default()
        };
        let letter = letter(&night, Lang::Zh, Some("https://office.example/nights/{as_of}"));
        assert!(letter.trouble);
        assert!(letter.text.contains("整理入库") && letter.text.contains("MC083"), "{}", letter.text);
        assert!(letter.text.ends_with("https://office.example/nights/2026-07-01"), "{}", letter.text);
    }
}
