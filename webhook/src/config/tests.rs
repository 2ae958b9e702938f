use super::*;
use clap::Parser as _;
use podbadge_webhook_core::{pod::Name, resources::Resources, settings::Roots};

fn config(flags: &[&str]) -> Result<Config, String> {
    let args = Args::try_parse_from(["podbadge-webhook"].iter().chain(flags)).map_err(|error| error.to_string())?;
    Config::try_from(args).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_the_public_cloud() {
    let config = config(&[]).unwrap();
    assert_eq!(config.settings.authority_host, "https://login.microsoftonline.com/");
    assert_eq!(config.settings.audience, "api://AzureADTokenExchange");
    assert_eq!(config.settings.mount_path, "/var/run/secrets/azure/tokens");
    assert_eq!(config.native_sidecar, None);
    assert_eq!(config.settings.sidecar.resources, Resources::DEFAULT);
}

#[test]
fn resources_of_the_sidecar_are_json() {
    let config = config(&[r#"--sidecar-resources={"limits":{"memory":"64Mi"}}"#]).unwrap();
    assert_eq!(config.settings.sidecar.resources.limits.memory, "64Mi".parse().ok());
    assert_eq!(config.settings.sidecar.resources.requests.memory, None);
}

#[test]
fn variables_of_the_sidecar_are_judged_by_its_rules() {
    let flag = |json: &str| config(&[&format!("--sidecar-variables={json}")]);
    let read = flag(r#"{"PODBADGE_METRICS_ADDRESS":"0.0.0.0:8096","HTTPS_PROXY":"http://proxy:3128"}"#).unwrap();
    let proxy = (Name::Proxy, "http://proxy:3128".to_owned());
    assert_eq!(read.settings.sidecar.variables, [proxy, (Name::MetricsAddress, "0.0.0.0:8096".to_owned())]);
    for (json, says) in [
        ("[]", "must be a JSON object of names to strings"),
        (r#"{"PODBADGE_PORT":"1"}"#, "must be of HTTPS_PROXY"),
        (r#"{"PODBADGE_LOG":"loud"}"#, "must be error, warn, info, debug or trace"),
        (r#"{"PODBADGE_MAX_TOKEN_AGE_SECONDS":"299"}"#, "must be 300 to 86400 seconds"),
        (r#"{"PODBADGE_CREDENTIAL_SPREADING_SECONDS":"2m"}"#, "must be 0 to 3600 seconds"),
        (r#"{"PODBADGE_METRICS_ADDRESS":"8096"}"#, "must be an IP address and a port"),
        (r#"{"PODBADGE_READY_RESOURCE":"a b"}"#, "must be a resource"),
        (r#"{"AZURE_REGIONAL_AUTHORITY_NAME":"west europe"}"#, "must be a region's name"),
        (r#"{"NO_PROXY":""}"#, "must be one word"),
        (r#"{"PODBADGE_PASS_THROUGH":"/metadata/identity"}"#, "must be paths such as"),
    ] {
        let error = flag(json).unwrap_err();
        assert!(error.contains(says), "{json}: {error}");
    }
    let error = flag(r#"{"HTTPS_PROXY":"socks5://user:hunter2@proxy"}"#).unwrap_err();
    assert!(error.contains("must be an http or https URL") && !error.contains("hunter2"), "{error}");
    let error = flag(r#"{"PODBADGE_CA_DATA":"-----BEGIN PRIVATE KEY-----\nhunter2"}"#).unwrap_err();
    assert!(error.contains("must be certificates in PEM") && !error.contains("hunter2"), "{error}");
}

#[test]
fn help_and_refusal_name_each_variable_of_the_sidecar() {
    let help = <Args as clap::CommandFactory>::command().render_long_help().to_string();
    let refusal = config(&[r#"--sidecar-variables={"PATH":"/"}"#]).unwrap_err();
    for (_, name) in Name::OPERATORS {
        assert!(help.contains(name), "{name} is not in the help");
        assert!(refusal.contains(name), "{name} is not in: {refusal}");
    }
}

#[test]
fn a_cloud_sets_authority_and_audience() {
    for (cloud, host, audience) in [
        ("AzureUSGovernmentCloud", "https://login.microsoftonline.us/", "api://AzureADTokenExchangeUSGov"),
        ("azurechinacloud", "https://login.chinacloudapi.cn/", "api://AzureADTokenExchangeChina"),
    ] {
        let config = config(&["--cloud", cloud]).unwrap();
        assert_eq!((config.settings.authority_host.as_str(), config.settings.audience.as_str()), (host, audience));
    }
    let config = config(&["--authority-host=https://entra.test:8443"]).unwrap();
    assert_eq!(config.settings.authority_host, "https://entra.test:8443/");
}

#[test]
fn every_wrong_value_is_named() {
    for (flag, value, says) in [
        ("--authority-host", "http://entra.test/", "must be an https URL"),
        ("--authority-host", "https://entra.test/?a=b", "must be an https URL"),
        ("--audience", "two words", "must be one word"),
        ("--tenant-id", "", "must be a GUID or a domain"),
        ("--tenant-id", "common", "must be a GUID or a domain"),
        ("--sidecar-image", "", "must be one word"),
        ("--sidecar-resources", "5m", "must be JSON of requests and limits"),
        ("--sidecar-resources", "{\"limits\":{\"cpu\":\"fast\"}}", "must be JSON of requests and limits"),
        ("--sidecar-resources", "{\"limits\":{\"gpu\":1}}", "must be JSON of requests and limits"),
        (
            "--sidecar-resources",
            r#"{"requests":{"memory":"64Mi"},"limits":{"memory":"32Mi"}}"#,
            "no request above its limit",
        ),
        ("--authority-host", "https://user:pass@entra.test/", "must be an https URL"),
        ("--authority-host", "https://entra.test:65536/", "must be an https URL"),
        ("--token-path", "var/run", "must be an absolute path"),
        ("--token-path", "//", "must be an absolute path"),
        ("--token-path", "/a:b", "must be an absolute path"),
        ("--tls-secret", "Secret", "must be a Kubernetes name"),
        ("--service", "-a", "must be a Kubernetes name"),
        ("--webhook-configuration", "a/b", "must be a Kubernetes name"),
        ("--validating-webhook-configuration", "", "must be a Kubernetes name"),
        ("--namespace", "", "must be a Kubernetes name"),
        ("--pod-name", "A", "must be a Kubernetes name"),
        ("--heal", "perhaps", "possible values: off, report, evict"),
        ("--heal-interval", "4", "4 is not in 5..=86400"),
        ("--heal-evictions", "0", "0 is not in 1..=600"),
        ("--listen-address", "9443", "invalid socket address"),
        ("--admin-address", "x", "invalid socket address"),
        ("--cloud", "Mars", "possible values: AzurePublicCloud"),
        ("--native-sidecar", "perhaps", "possible values: auto, always, never"),
        ("--annotated-service-accounts", "on", "possible values: enabled, observe, disabled"),
        ("--tls", "none", "possible values: self-managed, files"),
        ("--tls", "files", "--tls-dir"),
        ("--tls-min-version", "1.1", "possible values: 1.2, 1.3"),
        ("--log-level", "loud", "--log-level"),
        ("--log-format", "xml", "--log-format"),
        ("--sidecar-mode", "none", "possible values: auto, endpoint, redirect"),
        ("--unlabelled-pod-security", "none", "possible values: privileged, baseline, restricted"),
        ("--sidecar-pull-secrets", "a,B", "must be Kubernetes names"),
        ("--host-network-ports", "18000", "must be two ports"),
        ("--host-network-ports", "0-10", "must be two ports"),
        ("--host-network-ports", "10-9", "must be two ports"),
        ("--host-network-ports", "10-65536", "must be two ports"),
        ("--custom-token-endpoint-annotation-suffix", "bindings", "go together"),
        ("--custom-token-endpoint-audience", "api://AKSIdentityBinding", "go together"),
        ("--custom-token-endpoint-ca-data", "no certificate", "must be certificates in PEM"),
        ("--custom-token-endpoint-ca-config-map", "A", "must be a Kubernetes name"),
        ("--custom-token-endpoint-ca-signer", "two words", "must be one word"),
        ("--custom-token-endpoint-ca-label-selector", "{}", "set --custom-token-endpoint-ca-signer too"),
    ] {
        let error = config(&[&format!("{flag}={value}")]).unwrap_err();
        assert!(error.contains(says) && error.contains(flag), "{flag}={value}: {error}");
    }
}

#[test]
fn a_custom_token_endpoint_is_whole_or_not_at_all() {
    let both = ["--custom-token-endpoint-annotation-suffix=bindings", "--custom-token-endpoint-audience=api://x"];
    let endpoint = |flags: &[&str]| {
        let flags: Vec<_> = both.iter().chain(flags).copied().collect();
        config(&flags).map(|config| config.settings.token_endpoint.unwrap())
    };
    let plain = endpoint(&[]).unwrap();
    assert_eq!(
        (plain.annotation.as_str(), plain.audience.as_str()),
        ("azure.workload.identity/use-bindings", "api://x")
    );
    assert_eq!((plain.url, plain.roots), (None, Roots::Public));
    let signer = "--custom-token-endpoint-ca-signer=example.test/ca";
    let selector = r#"--custom-token-endpoint-ca-label-selector={"matchLabels":{"a":"b"}}"#;
    let bundles = |selector| Roots::Bundles { signer: "example.test/ca".to_owned(), selector, served: true };
    let selected = serde_json::json!({ "matchLabels": { "a": "b" } });
    assert_eq!(endpoint(&[signer, selector]).unwrap().roots, bundles(selected));
    assert_eq!(endpoint(&[signer]).unwrap().roots, bundles(serde_json::json!({})), "all of the signer's");
    let map = "--custom-token-endpoint-ca-config-map=ca";
    assert_eq!(endpoint(&[map]).unwrap().roots, Roots::ConfigMap("ca".to_owned()));
    for (flags, says) in [
        (&[signer, map][..], "only one of"),
        (&[signer, "--custom-token-endpoint-ca-label-selector=[]"], "must be a label selector"),
        (&[signer, r#"--custom-token-endpoint-ca-label-selector={"app":"x"}"#], "must be a label selector"),
        (&["--custom-token-endpoint-url=http://x.test"], "must be an https URL"),
        (&["--custom-token-endpoint-sni-name=not a name"], "must be a DNS name"),
    ] {
        let error = endpoint(flags).unwrap_err();
        assert!(error.contains(says), "{flags:?}: {error}");
    }
    for (suffix, audience, says) in [
        ("-x-", "api://x", "must be letters, digits"),
        ("a/b", "api://x", "must be letters, digits"),
        ("x", "api://AzureADTokenExchange", "another audience"),
        ("x", "API://azureadtokenexchange", "another audience"),
        ("x", "two words", "one word"),
    ] {
        let flags = [
            format!("--custom-token-endpoint-annotation-suffix={suffix}"),
            format!("--custom-token-endpoint-audience={audience}"),
        ];
        let error = config(&flags.each_ref().map(String::as_str)).unwrap_err();
        assert!(error.contains(says), "{suffix} {audience}: {error}");
    }
}

#[test]
fn certificates_live_as_long_as_the_operator_says() {
    let lifetimes = |flags: &[&str]| match config(flags)?.certificate.source {
        Source::SelfManaged { lifetimes, .. } => Ok::<_, String>(*lifetimes),
        Source::Files(_) => Err("files".to_owned()),
    };
    assert_eq!(lifetimes(&[]), Ok(Lifetimes::default()));
    let quick = [
        "--tls-authority-lifetime=60",
        "--tls-authority-renewal=10",
        "--tls-leaf-lifetime=30",
        "--tls-leaf-renewal=5",
        "--tls-overlap=8",
        "--tls-settle=2",
        "--tls-poll=1",
    ];
    let read = lifetimes(&quick).unwrap();
    let seconds = |duration: std::time::Duration| duration.as_secs();
    assert_eq!([read.authority.valid, read.authority.renewed_after].map(seconds), [60, 10]);
    assert_eq!([read.leaf.valid, read.leaf.renewed_after].map(seconds), [30, 5]);
    assert_eq!([read.overlap, read.settle, read.poll, read.retry].map(seconds), [8, 2, 1, 1]);
    for (flags, says) in [
        (&["--tls-leaf-lifetime=9"][..], "9 is not in 10..="),
        (&["--tls-settle=0"], "0 is not in 1..=3600"),
        (&["--tls-leaf-lifetime=60", "--tls-leaf-renewal=60"], "60s is not before 60s"),
        (&["--tls-authority-lifetime=7776000"], "is more than the 2592000s that are left of one when it is replaced"),
        (&["--tls-overlap=74"], "the overlap must be at least 75s"),
    ] {
        let error = lifetimes(flags).unwrap_err();
        assert!(error.contains(says), "{flags:?}: {error}");
    }
}
