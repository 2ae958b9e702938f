//! The command line: one word at most. Settings are variables, because that is what an injected container has.

use std::ffi::OsString;

use podbadge_sidecar_core::contract::{CHECK, FLUSH, PROBE, REDIRECT, WAIT};
use thiserror::Error;

const VERSION: &str = concat!("podbadge-sidecar ", env!("CARGO_PKG_VERSION"));

const HELP: &str = "\
The local token endpoint of a pod.

Usage: podbadge-sidecar [probe | wait | flush | redirect | check]

  (nothing)       serve until SIGTERM
  probe           exit code 0 if the sidecar of this pod is ready
  wait            the same, once it is ready, within a minute
  flush           have the sidecar of this container replace every token at its next use, as SIGHUP does
  redirect        send this pod's requests to 169.254.169.254:80 to the sidecar; needs uid 0 and NET_ADMIN, no more
  check           say what of an identity this container has; with PODBADGE_CHECK_RESOURCE, also get a token
  -h, --help      this text
  -V, --version   the version

Variables: AZURE_TENANT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_AUTHORITY_HOST,
AZURE_REGIONAL_AUTHORITY_NAME, PODBADGE_PORT, PODBADGE_IDENTITY_HEADER, PODBADGE_IMDS, PODBADGE_ALLOWED_CLIENT_IDS,
PODBADGE_IDENTITY_MAP, PODBADGE_CA_FILE, PODBADGE_CA_DATA, PODBADGE_CREDENTIAL_SPREADING_SECONDS,
PODBADGE_MAX_TOKEN_AGE_SECONDS, PODBADGE_METRICS_ADDRESS, PODBADGE_READY_RESOURCE, PODBADGE_CHECK_RESOURCE,
PODBADGE_PASS_THROUGH, PODBADGE_LOG, AZURE_KUBERNETES_TOKEN_PROXY, AZURE_KUBERNETES_SNI_NAME, AZURE_KUBERNETES_CA_FILE, AZURE_KUBERNETES_CA_DATA, HTTPS_PROXY, NO_PROXY.";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve tokens.
    Serve,
    /// Ask the serving process whether it is ready.
    Probe,
    /// Ask until it is.
    Wait,
    /// Have the serving process replace its tokens.
    Flush,
    /// Lead the metadata address to the serving process.
    Redirect,
    /// Say what the container has of its identity.
    Check,
    /// Print this text.
    Print(&'static str),
}

/// Something else was asked for.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unknown argument {0:?}: use probe, wait, flush, redirect, check, --help, --version or no argument at all")]
pub(crate) struct Unknown(OsString);

pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Unknown> {
    let mut args = args.into_iter();
    let command = match args.next() {
        None => Command::Serve,
        Some(arg) if arg == PROBE => Command::Probe,
        Some(arg) if arg == WAIT => Command::Wait,
        Some(arg) if arg == FLUSH => Command::Flush,
        Some(arg) if arg == REDIRECT => Command::Redirect,
        Some(arg) if arg == CHECK => Command::Check,
        Some(arg) if arg == "-V" || arg == "--version" => Command::Print(VERSION),
        Some(arg) if arg == "-h" || arg == "--help" => Command::Print(HELP),
        Some(arg) => return Err(Unknown(arg)),
    };
    args.next().map_or(Ok(command), |arg| Err(Unknown(arg)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_at_most() {
        let parse = |args: &[&str]| parse(args.iter().map(OsString::from));
        assert_eq!(parse(&[]), Ok(Command::Serve));
        assert_eq!(parse(&["probe"]), Ok(Command::Probe));
        assert_eq!(parse(&["wait"]), Ok(Command::Wait));
        assert_eq!(parse(&["flush"]), Ok(Command::Flush));
        assert_eq!(parse(&["redirect"]), Ok(Command::Redirect));
        assert_eq!(parse(&["check"]), Ok(Command::Check));
        assert_eq!(parse(&["--version"]), Ok(Command::Print(VERSION)));
        for (args, unknown) in
            [(&["serve"][..], "serve"), (&[""], ""), (&["probe", "x"], "x"), (&["--Version"], "--Version")]
        {
            assert_eq!(parse(args), Err(Unknown(unknown.into())));
        }
    }
}
