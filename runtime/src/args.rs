//! Groups of command line arguments that processes share, to be flattened into their own (`#[command(flatten)]`).
//! Their doc comments are the help text.

use std::net::SocketAddr;

use clap::{Arg, Args, Command};

use crate::logs::{self, Format, Level};

/// How the process logs.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub struct LogArgs {
    /// How much to log: error, warn, info, debug or trace
    #[arg(long, env = "PODBADGE_LOG_LEVEL", value_name = "LEVEL", default_value_t = Level::Info)]
    pub log_level: Level,

    /// The form of a log line: json or text
    #[arg(long, env = "PODBADGE_LOG_FORMAT", value_name = "FORMAT", default_value_t = Format::Json)]
    pub log_format: Format,
}

/// Where probes and scrapes are answered.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub struct AdminArgs {
    /// Address of /livez, /readyz and /metrics; by default every address, of IPv4 too
    #[arg(long, env = "PODBADGE_ADMIN_ADDRESS", value_name = "ADDRESS:PORT", default_value = "[::]:8095")]
    pub admin_address: SocketAddr,
}

/// What is wrong with a command line, on one line: clap's own text goes on with tips, if another crate of the build has
/// asked for them, and the usage.
#[must_use]
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = text.strip_prefix("error: ").unwrap_or(text).split_whitespace().collect();
    format!("{}; see --help", words.join(" "))
}

/// Lets variables that are set to nothing count as unset, as deployments write those that they have no value for.
#[must_use]
pub fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg })
}

// === impl LogArgs ===

impl LogArgs {
    /// Sets up the log of this process.
    ///
    /// # Errors
    /// [`logs::Error::AlreadySet`] on a second call.
    pub fn init(self) -> Result<(), logs::Error> {
        logs::init(self.log_level, self.log_format)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Process {
        #[command(flatten)]
        logs: LogArgs,
        #[command(flatten)]
        admin: AdminArgs,
    }

    #[test]
    fn defaults_and_values() {
        let process = Process::parse_from(["p"]);
        assert_eq!((process.logs.log_level, process.logs.log_format), (Level::Info, Format::Json));
        assert_eq!(process.admin.admin_address, "[::]:8095".parse().unwrap());

        let process =
            Process::parse_from(["p", "--log-level=debug", "--log-format=text", "--admin-address=127.0.0.1:0"]);
        assert_eq!((process.logs.log_level, process.logs.log_format), (Level::Debug, Format::Text));
        assert_eq!(process.admin.admin_address, "127.0.0.1:0".parse().unwrap());
    }

    #[test]
    fn every_mistake_fits_on_one_line() {
        for (args, expected) in [
            (
                &["p", "--log-level=loud"][..],
                "invalid value 'loud' for '--log-level <LEVEL>': unknown log level \"loud\": use error, warn, info, debug \
                 or trace; see --help",
            ),
            (&["p", "extra"], "unexpected argument 'extra' found; see --help"),
            (&["p", "--admin-adress=x"], "unexpected argument '--admin-adress' found; see --help"),
        ] {
            let Err(error) = Process::try_parse_from(args) else { panic!("accepted") };
            assert_eq!(one_line(&error), expected);
        }
    }

    #[test]
    fn a_wrong_value_names_the_flag_and_the_choices() {
        let Err(error) = Process::try_parse_from(["p", "--log-level=loud"]) else { panic!("accepted") };
        let text = error.to_string();
        assert!(text.contains("--log-level") && text.contains("use error, warn, info, debug or trace"), "{text}");
    }
}
