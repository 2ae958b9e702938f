//! Clients that cannot be run here: their requests, as they were read in the sources of Azure.Identity with MSAL.NET
//! 4.87 and seen of azure-identity 1.18.0 for Java (two slashes under another host) with the retries of 1.19.0.

use std::time::Duration;

use anyhow::{Context, Result};
use podbadge_sidecar_core::contract;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::pod::Environment;

/// The time in which a probe must be answered.
const PROBE: Duration = Duration::from_secs(1);

/// Which client is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// `ManagedIdentityCredential` of .NET.
    DotnetManaged,
    /// `DefaultAzureCredential` of .NET: the metadata service is probed before.
    DotnetDefault,
    /// `ManagedIdentityCredential` of Java.
    JavaManaged,
    /// `DefaultAzureCredential` of Java: the metadata service is probed before.
    JavaDefault,
}

struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: String,
}

impl Replay {
    /// Asks for a token; the inner error is what a user reads.
    ///
    /// # Errors
    /// What was answered is not HTTP.
    pub async fn run(self, variables: &Environment, chosen: Option<&str>) -> Result<Result<String, String>> {
        let identity_endpoint = variables.get(contract::IDENTITY_ENDPOINT);
        let host = match (identity_endpoint, variables.get(contract::POD_IDENTITY_AUTHORITY_HOST)) {
            (Some(_), _) | (None, None) => "http://169.254.169.254",
            (None, Some(host)) => host,
        };
        let slash = if self.is_java() && host != "http://169.254.169.254" { "/" } else { "" };
        let metadata = format!("{host}{slash}{}", contract::IMDS_TOKEN_PATH);
        // By default it is the variable's identity that is asked for.
        let default = matches!(self, Self::DotnetDefault | Self::JavaDefault);
        let chosen = chosen.or_else(|| variables.get(contract::CLIENT_ID).map(String::as_str).filter(|_| default));
        let chosen = chosen.map(|chosen| format!("&client_id={chosen}")).unwrap_or_default();
        let query = |version| format!("?api-version={version}&resource=https%3A%2F%2Fvault.azure.net{chosen}");

        if default && identity_endpoint.is_none() {
            let probed = match self {
                Self::JavaDefault => format!("{metadata}?api-version=2018-02-01"),
                _ => format!("{metadata}{}", query("2018-02-01")),
            };
            let Ok(Ok(probe)) = timeout(PROBE, get(&probed, "")).await else {
                return Ok(Err("the probe was not answered".to_owned()));
            };
            let available = self.is_java() || (probe.status == 400 && !probe.body.contains("Identity not found"));
            if !available {
                return Ok(Err(format!("not available: {} {}", probe.status, probe.body)));
            }
        }
        let known = "x-client-SKU: MSAL\r\nx-client-Ver: 1.0\r\nx-ms-client-request-id: 7f3f9c1e-0000-4000-8000-00000000beef\r\n";
        let (url, headers) = match identity_endpoint {
            Some(endpoint) => {
                let header = variables.get(contract::IDENTITY_HEADER).context("IDENTITY_HEADER")?;
                (format!("{endpoint}{}", query("2019-08-01")), format!("X-IDENTITY-HEADER: {header}\r\n{known}"))
            }
            None => (format!("{metadata}{}", query("2018-02-01")), format!("Metadata: true\r\n{known}")),
        };
        let mut waits = self.waits(identity_endpoint.is_some()).iter().map(|seconds| Duration::from_secs(*seconds));
        loop {
            let answer = get(&url, &headers).await?;
            if answer.status == 200 {
                return Ok(self.token(&answer.body));
            }
            let passing = matches!(answer.status, 404 | 410 | 429 | 500 | 503);
            let Some(wait) = waits.next().filter(|_| passing) else {
                // To the chain of Java's credentials a 400 of the metadata service is an identity that is not there.
                let lost = self == Self::JavaDefault && identity_endpoint.is_none() && answer.status == 400;
                let shown = if lost { "" } else { &answer.body };
                return Ok(Err(format!("{} {shown}", answer.status)));
            };
            // MSAL.NET's own policy for the metadata service does not read Retry-After.
            let heeds = self.is_java() || identity_endpoint.is_some();
            sleep(answer.retry_after.filter(|_| heeds).unwrap_or(wait)).await;
        }
    }

    const fn is_java(self) -> bool {
        matches!(self, Self::JavaManaged | Self::JavaDefault)
    }

    /// The seconds between tries, where the answer does not say.
    const fn waits(self, app_service: bool) -> &'static [u64] {
        match (self.is_java(), app_service) {
            (true, true) => &[1, 2, 3],
            (true, false) => &[1, 2, 4, 8, 10],
            (false, true) => &[1, 1, 1],
            (false, false) => &[1, 2, 4],
        }
    }

    /// As its parser reads an answer: to MSAL.NET both names are one property, of which the last counts; Java wants
    /// `expires_on`.
    fn token(self, body: &str) -> Result<String, String> {
        let wrong = |what: &str| format!("{what}: {body}");
        let answer: Value = serde_json::from_str(body).map_err(|error| wrong(&error.to_string()))?;
        let expiry = match (self.is_java(), body.find("\"expires_in\""), body.find("\"expires_on\"")) {
            (false, Some(before), Some(after)) if before > after => &answer["expires_in"],
            _ => &answer["expires_on"],
        };
        let seconds = expiry.as_u64().or_else(|| expiry.as_str()?.parse().ok());
        seconds.filter(|seconds| *seconds > 978_307_200).ok_or_else(|| wrong("no time of expiry"))?;
        answer["access_token"].as_str().map(ToOwned::to_owned).ok_or_else(|| wrong("no access_token"))
    }
}

/// One request, byte for byte as given.
async fn get(url: &str, headers: &str) -> Result<Answer> {
    let rest = url.strip_prefix("http://").context("http")?;
    let (host, path) = rest.split_at(rest.find('/').context("a path")?);
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").context("no header")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let retry_after =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("retry-after: ")?.parse().ok());
    Ok(Answer { status, retry_after: retry_after.map(Duration::from_secs), body: body.to_owned() })
}
