//! What `mingcha.toml` says of nights that the scalar settings cannot: which extracts are expected, what holds a rule's
//! lists back, who gets a list, who is told. Read with the same reader and the same words for faults as everything else; what it means
//! is the business of `commands/nightly`.

use std::collections::BTreeMap;

use mingcha_ledger::{Profile, file_name};
use mingcha_rules::diagnostic::Diagnostic;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Reader, plain_text};

/// An extract that is expected every night.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Path in the extracts folder; `{date}` is 2026-07-01 and `{day}` 20260701, `*` and `?` stay inside a name.
    pub(crate) path: String,
    /// Whether there is no night without it.
    pub(crate) required: bool,
}

/// What holds a rule's lists back. The result stands all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    /// More findings than this.
    pub(crate) rows: Option<u64>,
    /// More subjects than this among a thousand persons of the store.
    pub(crate) per_mille: Option<u64>,
    /// Findings that rose or fell by more than this against the last night that evaluated the rule.
    pub(crate) change_percent: Option<u64>,
    /// Changes by fewer findings than this are none.
    pub(crate) change_least: Option<u64>,
}

/// Somebody who gets a list on record every night that has something new for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Receiver {
    /// Code of an area, or name of the person to whom leads are assigned.
    pub(crate) whose: String,
    /// Who receives it, where that is another.
    pub(crate) recipient: Option<String>,
    /// What they may see: `investigator` or `supervisor`.
    pub(crate) profile: Option<Profile>,
    /// Days for which the list is valid.
    pub(crate) days: Option<u64>,
    /// Persons of the control sample.
    pub(crate) controls: Option<usize>,
}

impl Receiver {
    /// Who receives it.
    pub(crate) fn name(&self) -> &str {
        self.recipient.as_deref().unwrap_or(&self.whose)
    }
}

/// How a message is worded and carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// 企业微信 group robot.
    #[default]
    WeCom,
    /// 钉钉 group robot.
    DingTalk,
    /// Any webhook that takes JSON.
    Json,
    /// Mail.
    Smtp,
}

/// Somebody who is told how a night went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listener {
    /// How.
    pub(crate) carrier: Carrier,
    /// Where: the base address of the service, or the mail server.
    pub(crate) url: String,
    /// The robot's key or token; `env:NAME` or `file:PATH` keep it out of this file.
    pub(crate) token: String,
    /// What 钉钉 signatures are made with, or the mail server's password.
    pub(crate) secret: String,
    /// Name at the mail server.
    pub(crate) user: String,
    /// Sender of mails.
    pub(crate) from: String,
    /// Receivers of mails.
    pub(crate) to: Vec<String>,
    /// Only when something is wrong.
    pub(crate) trouble_only: bool,
}

/// Everything of nights that is no plain setting.
#[derive(Debug, Clone, Default)]
pub(crate) struct NightSettings {
    /// `[[expect]]`.
    pub(crate) expected: Vec<Expected>,
    /// `[breaker.RULE]`; `all` is for every rule.
    pub(crate) breakers: BTreeMap<String, Breaker>,
    /// `[[list]]`.
    pub(crate) receivers: Vec<Receiver>,
    /// `[[notify]]`.
    pub(crate) listeners: Vec<Listener>,
}

const EXPECT_KEYS: &[&str] = &["path", "required"];
const BREAKER_KEYS: &[&str] = &["rows", "per_mille", "change_percent", "change_least"];
const LIST_KEYS: &[&str] = &["for", "recipient", "profile", "days", "controls"];
const NOTIFY_KEYS: &[&str] = &["kind", "url", "token", "secret", "user", "from", "to", "on"];

/// The groups that are read here.
pub(super) const GROUPS: &[&str] = &["expect", "breaker", "list", "notify"];

impl Reader<'_> {
    /// One of [`GROUPS`].
    pub(super) fn night(&mut self, group: &str, value: &Spanned<DeValue<'_>>) {
        match (group, value.get_ref()) {
            ("expect", DeValue::Array(entries)) => entries.iter().for_each(|entry| self.expect(entry)),
            ("list", DeValue::Array(entries)) => entries.iter().for_each(|entry| self.receiver(entry)),
            ("notify", DeValue::Array(entries)) => entries.iter().for_each(|entry| self.listener(entry)),
            ("breaker", DeValue::Table(rules)) => self.breakers(rules),
            (group, _) => {
                let wanted =
                    if group == "breaker" { "[breaker.RULE]".to_owned() } else { format!("[[{group}]]") };
                self.wrong(value, &format!("写成 `{wanted}`"), &format!("`{wanted}`"));
            }
        }
    }

    fn wrong(&mut self, at: &Spanned<DeValue<'_>>, zh: &str, en: &str) {
        let fault = Diagnostic::error("MC092", format!("需要{zh}"), format!("wanted {en}"));
        self.fault(fault, at.span());
    }

    fn expect(&mut self, entry: &Spanned<DeValue<'_>>) {
        let mut expected = Expected::default();
        for (name, value) in entry.get_ref().as_table().into_iter().flatten() {
            match name.get_ref().as_ref() {
                "path" => expected.path = plain_text(value.get_ref()).unwrap_or_default(),
                "required" => match value.get_ref() {
                    DeValue::Boolean(flag) => expected.required = *flag,
                    _ => self.wrong(value, " true 或 false", "true or false"),
                },
                _ => self.unknown(name, EXPECT_KEYS),
            }
        }
        if expected.path.is_empty() {
            self.wrong(entry, "：`[[expect]]` 中写明 `path`", "`path` in `[[expect]]`");
            return;
        }
        self.config.night.expected.push(expected);
    }

    fn breakers(&mut self, rules: &DeTable<'_>) {
        for (rule, value) in rules {
            let Some(table) = value.get_ref().as_table() else {
                self.wrong(
                    value,
                    "写成 `[breaker.RULE]` 或 `[breaker.all]`",
                    "`[breaker.RULE]` or `[breaker.all]`",
                );
                continue;
            };
            let mut breaker = Breaker::default();
            for (name, value) in table {
                let number = plain_text(value.get_ref()).and_then(|text| text.parse::<u64>().ok());
                let place = match name.get_ref().as_ref() {
                    "rows" => &mut breaker.rows,
                    "per_mille" => &mut breaker.per_mille,
                    "change_percent" => &mut breaker.change_percent,
                    "change_least" => &mut breaker.change_least,
                    _ => {
                        self.unknown(name, BREAKER_KEYS);
                        continue;
                    }
                };
                *place = number;
                if number.is_none() {
                    self.wrong(value, "整数", "a whole number");
                }
            }
            self.config.night.breakers.insert(rule.get_ref().to_string(), breaker);
        }
    }

    fn receiver(&mut self, entry: &Spanned<DeValue<'_>>) {
        let mut receiver = Receiver::default();
        for (name, value) in entry.get_ref().as_table().into_iter().flatten() {
            let text = plain_text(value.get_ref()).map(|text| text.trim().to_owned());
            let text = text.filter(|text| !text.is_empty());
            let number = text.as_ref().and_then(|text| text.parse::<u64>().ok());
            let number = number.filter(|n| (1..=1000).contains(n));
            match (name.get_ref().as_ref(), text, number) {
                ("for", Some(text), _) => receiver.whose = text,
                ("recipient", Some(text), _) => receiver.recipient = Some(text),
                ("profile", Some(word), _) => {
                    receiver.profile = Profile::parse(&word).filter(|profile| *profile != Profile::Public);
                    if receiver.profile.is_none() {
                        self.wrong(value, " investigator 或 supervisor", "investigator or supervisor");
                    }
                }
                ("days", _, Some(days)) => receiver.days = Some(days),
                ("controls", _, Some(n)) => receiver.controls = usize::try_from(n).ok(),
                ("days" | "controls", ..) => {
                    self.wrong(value, " 1 到 1000 的整数", "a whole number from 1 to 1000")
                }
                (word, None, _) if LIST_KEYS.contains(&word) => self.wrong(value, "文字", "text"),
                _ => self.unknown(name, LIST_KEYS),
            }
        }
        if receiver.whose.is_empty() {
            self.wrong(
                entry,
                "：`[[list]]` 中写明 `for`（区划代码或承办人）",
                "`for` in `[[list]]`: the code of an area, or a person",
            );
            return;
        }
        let same = |other: &Receiver| {
            let place = file_name(other.name()) == file_name(receiver.name());
            place && (other.name() != receiver.name() || other.whose == receiver.whose)
        };
        if self.config.night.receivers.iter().any(same) {
            self.wrong(
                entry,
                "：`[[list]]` 各条的接收人文件夹不重名，同一接收人的 `for` 不重复",
                "`[[list]]` entries whose recipients have folders of their own, and one entry for the same `for` and recipient",
            );
            return;
        }
        self.config.night.receivers.push(receiver);
    }

    fn listener(&mut self, entry: &Spanned<DeValue<'_>>) {
        let mut listener = Listener::default();
        let mut kind = None;
        for (name, value) in entry.get_ref().as_table().into_iter().flatten() {
            let text = plain_text(value.get_ref());
            match (name.get_ref().as_ref(), text) {
                ("to", _) => {
                    let all = value.get_ref().as_array();
                    listener.to = match (all, plain_text(value.get_ref())) {
                        (Some(all), _) => all.iter().filter_map(|v| plain_text(v.get_ref())).collect(),
                        (None, one) => one.into_iter().collect(),
                    };
                }
                ("kind", Some(word)) => {
                    kind = match word.as_str() {
                        "wecom" => Some(Carrier::WeCom),
                        "dingtalk" => Some(Carrier::DingTalk),
                        "json" => Some(Carrier::Json),
                        "smtp" => Some(Carrier::Smtp),
                        _ => None,
                    };
                }
                ("url", Some(text)) => listener.url = text,
                ("token", Some(text)) => listener.token = text,
                ("secret", Some(text)) => listener.secret = text,
                ("user", Some(text)) => listener.user = text,
                ("from", Some(text)) => listener.from = text,
                ("on", Some(text)) => match text.as_str() {
                    "always" => listener.trouble_only = false,
                    "trouble" => listener.trouble_only = true,
                    _ => self.wrong(value, " always 或 trouble", "always or trouble"),
                },
                (word, None) if NOTIFY_KEYS.contains(&word) => self.wrong(value, "文字", "text"),
                _ => self.unknown(name, NOTIFY_KEYS),
            }
        }
        let Some(carrier) = kind else {
            self.wrong(
                entry,
                "：`[[notify]]` 中 `kind` 为 wecom、dingtalk、json 或 smtp",
                "`kind` in `[[notify]]` as wecom, dingtalk, json or smtp",
            );
            return;
        };
        listener.carrier = carrier;
        let addressed = carrier != Carrier::Smtp || (!listener.from.is_empty() && !listener.to.is_empty());
        if listener.url.is_empty() || !addressed {
            self.wrong(
                entry,
                "：`[[notify]]` 中写明 `url`；smtp 还要 `from` 和 `to`",
                "`url` in `[[notify]]`; for smtp `from` and `to` as well",
            );
            return;
        }
        self.config.night.listeners.push(listener);
    }
}
