//! The story on a terminal: numbered steps, a few facts each, colours only where they can be seen.

use super::step::{Claims, Step, Try};
use anstyle::{AnsiColor, Style};
use std::{
    ffi::OsStr,
    io::{self, Write},
    time::Duration,
};

const TITLE: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const REFUSED: Style = AnsiColor::Yellow.on_default();

/// The claims that say who got a token, from whom, and for what.
const ASSERTION: [&str; 3] = ["iss", "sub", "aud"];
const TOKEN: [&str; 6] = ["iss", "sub", "aud", "appid", "tid", "idtyp"];

/// A terminal, or what stands in its place.
pub(super) struct Console<W> {
    out: W,
    colours: bool,
    number: u32,
}

/// Whether to use colours; `variable` is NO_COLOR, which counts where it is not empty (<https://no-color.org>).
pub(super) fn colours(flag: bool, variable: Option<&OsStr>, terminal: bool) -> bool {
    terminal && !flag && variable.is_none_or(OsStr::is_empty)
}

impl<W: Write> Console<W> {
    /// Begins the story.
    pub(super) fn new(out: W, colours: bool) -> io::Result<Self> {
        let mut console = Self { out, colours, number: 0 };
        console.line(TITLE, "An Azure identity for a pod, whole, on this machine alone: nothing leaves it.")?;
        Ok(console)
    }

    /// Tells a step.
    pub(super) fn step(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Start { issuer, authority, vault, webhook } => {
                self.title("A cluster's token issuer, an Entra ID with a key vault, and the webhook start.")?;
                self.fact("issuer", issuer)?;
                self.fact("Entra ID", authority)?;
                self.fact("key vault", vault)?;
                self.fact("webhook", webhook)
            }
            Step::Admission { pod, service_account, port, patch, warnings, diff } => {
                let operations = patch.0.len();
                self.title(&format!(
                    "Pod {pod} is created; the webhook answers, over TLS, with a patch of {operations} operations."
                ))?;
                self.remark(&format!("Service account {service_account} names the identity, which is the opt-in."))?;
                self.remark(&format!("Sent is examples/pod-sidecar.yaml, with port {port}, which is free here."))?;
                for warning in warnings {
                    self.fact("warning", warning)?;
                }
                self.diff(diff)
            }
            Step::Volume { file, assertion } => {
                self.title("The kubelet writes the pod's token into its volume: the cluster vouches for the pod.")?;
                self.fact("file", file)?;
                self.claims(assertion, &ASSERTION)
            }
            Step::Sidecar { environment, added } => {
                self.title("The sidecar starts as a process, with the injected variables and two of the operator's.")?;
                self.remark(
                    "Those two begin with PODBADGE_C: the real Entra ID has a certificate which the world trusts, \
                     and takes a while to know a new credential.",
                )?;
                for (name, value) in environment.iter().chain(added) {
                    self.line(Style::new(), &format!("     {name}={value}"))?;
                }
                Ok(())
            }
            Step::Token { endpoint, resource, expires_in, token } => {
                self.title(
                    "The application asks for a token, as Azure SDKs do; the sidecar exchanges the pod's for it.",
                )?;
                self.fact("asked", &format!("{endpoint}?resource={resource}"))?;
                self.claims(token, &TOKEN)?;
                self.fact("valid for", &format!("{expires_in} s"))
            }
            Step::Secret { vault, name, value } => {
                self.title("With the token, the application reads a secret from the key vault.")?;
                self.fact("asked", &format!("{vault}/secrets/{name}"))?;
                self.fact(name, value)
            }
            Step::Refusal { service_account, assertion, status, code: _, message } => {
                self.title(&format!(
                    "A pod of {service_account} asks for the same identity; no federated credential names it."
                ))?;
                self.claims(assertion, &ASSERTION)?;
                self.remark("Its application sees:")?;
                self.line(REFUSED, &format!("     {status} {message}"))
            }
        }
    }

    /// Tells the good end.
    pub(super) fn done(&mut self, took: Duration, tries: Option<&[Try]>) -> io::Result<()> {
        let took = took.as_secs_f64();
        writeln!(self.out)?;
        self.line(
            ADDED,
            &format!("The application read its secret and holds no credential of its own. ({took:.1} s)"),
        )?;
        let Some(tries) = tries else {
            return Ok(());
        };
        writeln!(self.out)?;
        self.line(TITLE, "Everything is left running until Ctrl-C. Try it:")?;
        for Try { what, command } in tries {
            writeln!(self.out)?;
            self.line(FAINT, &format!("# {what}"))?;
            self.line(Style::new(), command)?;
        }
        self.out.flush()
    }

    fn title(&mut self, text: &str) -> io::Result<()> {
        self.number += 1;
        writeln!(self.out)?;
        self.line(TITLE, &format!("{:>2}. {text}", self.number))
    }

    fn remark(&mut self, text: &str) -> io::Result<()> {
        self.line(FAINT, &format!("     {text}"))
    }

    fn fact(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.line(Style::new(), &format!("     {name:<10} {value}"))
    }

    fn claims(&mut self, claims: &Claims, names: &[&'static str]) -> io::Result<()> {
        claims.shown(names).try_for_each(|(name, value)| self.fact(name, &value))
    }

    fn diff(&mut self, diff: &str) -> io::Result<()> {
        for line in diff.lines() {
            let style = match line.as_bytes().first() {
                Some(b'+') => ADDED,
                Some(b'-') => REMOVED,
                Some(b'@') => FAINT,
                _ => Style::new(),
            };
            self.line(style, &format!("     {line}"))?;
        }
        Ok(())
    }

    fn line(&mut self, style: Style, text: &str) -> io::Result<()> {
        if self.colours { writeln!(self.out, "{style}{text}{style:#}") } else { writeln!(self.out, "{text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(colours: bool) -> String {
        let mut told = Vec::new();
        let mut console = Console::new(&mut told, colours).unwrap();
        let steps = [
            Step::Admission {
                pod: "shop/orders".into(),
                service_account: "shop/orders".into(),
                port: 8000,
                patch: json_patch::Patch::default(),
                warnings: vec!["a warning".into()],
                diff: "@@ -1 +1 @@\n-old\n+new\n same\n".into(),
            },
            Step::Secret { vault: "https://vault".into(), name: "greeting".into(), value: "hello".into() },
        ];
        steps.iter().for_each(|step| console.step(step).unwrap());
        let tries = [Try { what: "nothing", command: "true".into() }];
        console.done(Duration::from_millis(1250), Some(&tries)).unwrap();
        String::from_utf8(told).unwrap()
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let (plain, mut painted) = (told(false), told(true));
        assert!(!plain.contains('\x1b'));
        for text in ["\x1b[32m     +new\x1b[0m", "\x1b[31m     -old\x1b[0m", "\x1b[1m 2. With the token"] {
            assert!(painted.contains(text), "{painted:?}");
        }
        while let Some(start) = painted.find('\x1b') {
            let end = start + painted[start..].find('m').unwrap();
            painted.replace_range(start..=end, "");
        }
        assert_eq!(painted, plain);
    }

    #[test]
    fn colours_are_for_terminals_whose_owner_wants_them() {
        let set = |value: &'static str| Some(OsStr::new(value));
        assert!(colours(false, None, true));
        assert!(colours(false, set(""), true));
        assert!(!colours(false, set("1"), true));
        assert!(!colours(true, None, true));
        assert!(!colours(false, None, false));
    }
}
