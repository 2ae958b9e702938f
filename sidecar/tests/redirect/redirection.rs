//! Who answers at the metadata address, and what else becomes of the pod's network.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::process::{Command, Stdio};
use std::thread;

use podbadge_sidecar_core::contract::{METADATA_ADDRESS, PORT, WAIT};
use rustix::thread::{Uid, set_thread_uid};

use crate::authority::{Authority, TOKEN};
use crate::namespace::{NODE, Namespace, get};
use crate::pod::{IMDS, Pod, ask};

/// The only table there is where nobody else has one.
fn table(port: u16) -> String {
    format!(
        "table ip podbadge {{\n\tchain output {{\n\t\ttype nat hook output priority -101; policy accept;\n\
         \t\tip daddr 169.254.169.254 tcp dport 80 redirect to :{port}\n\t}}\n}}\n"
    )
}

/// Whatever it leads to, nothing else is led anywhere.
fn others_reach_the_node(pod: &Namespace) {
    for other in [
        SocketAddrV4::new(*METADATA_ADDRESS.ip(), 443),
        SocketAddrV4::new(NODE, METADATA_ADDRESS.port()),
        SocketAddrV4::new(NODE, 443),
    ] {
        assert_eq!(pod.who_answers(other).unwrap(), "the node", "{other}");
    }
}

pub(crate) fn requests_reach_the_sidecar() {
    let (pod, node) = Namespace::routed();
    let port = pod.serve_as("the sidecar");
    assert_eq!(pod.who_answers(METADATA_ADDRESS).unwrap(), "the node");
    others_reach_the_node(&pod);
    let network = pod.network();
    pod.redirect_to(port);
    assert_eq!(pod.who_answers(METADATA_ADDRESS).unwrap(), "the sidecar");
    others_reach_the_node(&pod);
    assert_eq!(pod.rules(), table(port));
    assert_eq!(pod.network(), network);
    assert_eq!(node.rules(), "");
}

pub(crate) fn nobody_is_exempt() {
    let (pod, _node) = Namespace::routed();
    let port = pod.serve_as("the sidecar");
    pod.redirect_to(port);
    // The last two are the images' own: Azure Workload Identity's proxy and the sidecar.
    for user in [0, 1000, 1501, 65532] {
        let answer = pod.inside(|| {
            set_thread_uid(Uid::from_raw(user)).unwrap();
            get(METADATA_ADDRESS.into())
        });
        assert_eq!(answer.unwrap(), "the sidecar", "user {user}");
    }
}

/// With pass-through switched on the sidecar calls the real service, and nobody else does.
pub(crate) fn the_sidecar_alone_is_exempt_where_it_must_be() {
    let (pod, _node) = Namespace::routed();
    let port = pod.serve_as("the sidecar");
    pod.redirect_others(port);
    assert_eq!(pod.rules(), table(port).replace("ip daddr", "meta skuid != 65532 ip daddr"));
    for (user, expected) in [(0, "the sidecar"), (1000, "the sidecar"), (1501, "the sidecar"), (65532, "the node")] {
        let answer = pod.inside(|| {
            set_thread_uid(Uid::from_raw(user)).unwrap();
            get(METADATA_ADDRESS.into())
        });
        assert_eq!(answer.unwrap(), expected, "user {user}");
    }
    // Switched off again, it is like everybody.
    pod.redirect_to(port);
    assert_eq!(pod.rules(), table(port));
}

pub(crate) fn the_sidecar_answers_as_the_metadata_service() {
    let (namespace, _node) = Namespace::routed();
    namespace.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // The sidecar waits for the authority, so the latter must be served meanwhile.
        runtime.block_on(async {
            let authority = Authority::start().await;
            let mut pod = Pod::new(&authority);
            pod.set(PORT, "8123");
            let mut sidecar = tokio::process::Command::from(program(&pod)).kill_on_drop(true).spawn().unwrap();
            let waited = tokio::process::Command::from(program(&pod)).arg(WAIT).status().await.unwrap();
            assert!(waited.success());
            namespace.redirect_to(8123);
            let answer = ask(METADATA_ADDRESS.into(), &format!("GET {IMDS}"), "Metadata: true\r\n").await;
            assert_eq!((answer.status, answer.json()["access_token"].as_str()), (200, Some(TOKEN)), "{answer:?}");
            assert_eq!(authority.asked().len(), 1);
            sidecar.kill().await.unwrap();
        });
    });
}

/// Whatever path is asked of the sidecar, the real metadata service is not: it would answer with the node's identity.
pub(crate) fn nothing_is_forwarded_to_the_metadata_service() {
    let set_up = format!("link set lo up\naddress add {}/32 dev lo", METADATA_ADDRESS.ip());
    let namespace = Namespace::new(&set_up);
    namespace.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let metadata_service = TcpListener::bind(METADATA_ADDRESS).unwrap();
        metadata_service.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let authority = Authority::start().await;
            let mut pod = Pod::new(&authority);
            pod.set(PORT, "8123");
            let mut sidecar = tokio::process::Command::from(program(&pod)).kill_on_drop(true).spawn().unwrap();
            let waited = tokio::process::Command::from(program(&pod)).arg(WAIT).status().await.unwrap();
            assert!(waited.success());
            for (path, status) in PATHS {
                for headers in ["Metadata: true\r\n", ""] {
                    let line = format!("GET {path}?resource=https://vault.azure.net&api-version=2018-02-01");
                    let answer = ask((Ipv4Addr::LOCALHOST, 8123).into(), &line, headers).await;
                    let status = if *status == 200 && headers.is_empty() { 400 } else { *status };
                    assert_eq!(answer.status, status, "{path} {headers}: {answer:?}");
                }
            }
            assert_eq!(authority.asked().len(), 1);
            sidecar.kill().await.unwrap();
        });
        let asked = metadata_service.accept().map_err(|error| error.kind());
        assert_eq!(asked.map(|(_, client)| client), Err(ErrorKind::WouldBlock));
    });
}

/// Ways to write a path that one reader takes for the token endpoint's, and another one for something else.
const PATHS: &[(&str, u16)] = &[
    ("/metadata/identity/oauth2/token", 200),
    ("/Metadata/Identity/OAuth2/Token/", 200),
    ("//metadata/identity/oauth2/token", 200),
    ("/metadata/identity/oauth2/%74oken", 200),
    ("/metadata/identity\\oauth2\\token", 400),
    ("/metadata/identity\\oauth2\\token/", 400),
    ("/metadata/identity%5Coauth2%5Ctoken", 400),
    ("/metadata/identity%5coauth2%5ctoken/", 400),
    ("/metadata/identity%2Foauth2%2Ftoken", 400),
    ("/metadata%2fidentity/oauth2/token", 400),
    ("/metadata/./identity/oauth2/token", 400),
    ("/metadata/instance/../identity/oauth2/token", 400),
    ("/metadata/instance/%2e%2e/identity/oauth2/token", 400),
    ("/metadata/instance/%2E./identity/oauth2/token", 400),
    ("/metadata/identity/oauth2/token%00", 400),
    ("/metadata/identity/oauth2/token%0a", 400),
    ("/metadata/identity/oauth2/token%ff", 400),
    ("/metadata/identity/oauth2/token%c0%af", 400),
    ("/metadata/identity%252foauth2%252ftoken", 404),
    ("/metadata/identity/oauth2/%2574oken", 404),
    ("/metadata/identity//oauth2/token", 404),
    ("/metadata//identity/oauth2/token", 404),
    ("/metadata/identity/oauth2/token;a=b", 404),
    ("/metadata/identity/oauth2/token/x", 404),
    ("/metadata/identity/oauth2/tokenXYZ", 404),
    ("/metadata/identity/oauth2/token.json", 404),
    ("/metadata/identity", 404),
    ("/metadata/identity/info", 404),
    ("/metadata/identity/getplatformmetadata", 404),
    ("/metadata/identity/issuecredential", 404),
    ("/metadata/instance", 404),
    ("/metadata/versions", 404),
    ("/metadata", 404),
    ("/latest/meta-data/iam/security-credentials/", 404),
    ("/computeMetadata/v1/instance/service-accounts/default/token", 404),
    ("/", 404),
];

fn program(pod: &Pod) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podbadge-sidecar"));
    command.env_clear().envs(&pod.vars).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

pub(crate) fn a_second_run_changes_nothing() {
    let (pod, _node) = Namespace::routed();
    let port = pod.serve_as("the sidecar");
    pod.redirect_to(port);
    let network = pod.network();
    for _ in 0..3 {
        pod.redirect_to(port);
        assert_eq!((pod.rules(), pod.network()), (table(port), network.clone()));
        assert_eq!(pod.who_answers(METADATA_ADDRESS).unwrap(), "the sidecar");
    }
    // Runs at the same time do not mix either.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| pod.redirect_to(port));
        }
    });
    assert_eq!(pod.rules(), table(port));
}

pub(crate) fn another_port_moves_it() {
    let (pod, _node) = Namespace::routed();
    for name in ["the first", "the second", "the third"] {
        let port = pod.serve_as(name);
        pod.redirect_to(port);
        assert_eq!((pod.rules(), pod.who_answers(METADATA_ADDRESS).unwrap()), (table(port), name.to_owned()));
    }
}

pub(crate) fn rules_of_others_survive() {
    let (pod, _node) = Namespace::routed();
    let (port, mesh) = (pod.serve_as("the sidecar"), pod.serve_as("the mesh"));
    for rule in [
        "add table ip nat",
        "add chain ip nat output { type nat hook output priority -100; }",
        &format!("add rule ip nat output ip daddr {NODE} tcp dport 443 redirect to :{mesh}"),
        "add table inet podbadge",
        "add chain inet podbadge output { type filter hook output priority 0; }",
        "add rule inet podbadge output tcp dport 25 drop",
        "add table ip podbadge-of-others",
        "add set ip podbadge-of-others s { type ipv4_addr; elements = { 10.0.0.1 }; }",
    ] {
        pod.run("nft", &[rule]);
    }
    let theirs = pod.rules();
    for _ in 0..2 {
        pod.redirect_to(port);
        assert_eq!(pod.rules(), format!("{theirs}{}", table(port)));
        assert_eq!(pod.who_answers(METADATA_ADDRESS).unwrap(), "the sidecar");
        assert_eq!(pod.who_answers(SocketAddrV4::new(NODE, 443)).unwrap(), "the mesh");
    }
}

/// As the init containers of service meshes do it, before us or after us.
pub(crate) fn a_mesh_does_not_take_the_address() {
    for ours_first in [true, false] {
        let (pod, _node) = Namespace::routed();
        let (port, mesh) = (pod.serve_as("the sidecar"), pod.serve_as("the mesh"));
        if ours_first {
            pod.redirect_to(port);
        }
        for rule in [
            "add table ip nat",
            "add chain ip nat output { type nat hook output priority -100; }",
            &format!("add rule ip nat output tcp dport 80 redirect to :{mesh}"),
        ] {
            pod.run("nft", &[rule]);
        }
        if !ours_first {
            assert_eq!(pod.who_answers(METADATA_ADDRESS).unwrap(), "the mesh");
            pod.redirect_to(port);
        }
        assert_eq!(pod.who_answers(METADATA_ADDRESS).unwrap(), "the sidecar");
        assert_eq!(pod.who_answers(SocketAddrV4::new(NODE, 80)).unwrap(), "the mesh");
    }
}

/// No IPv4 but loopback, as in a cluster of IPv6 alone; or a route that ends.
pub(crate) fn a_pod_without_a_route() {
    for route in ["", "blackhole", "unreachable", "prohibit", "throw"] {
        let pod = Namespace::new("link set lo up\nlink add eth0 type veth peer name far");
        if !route.is_empty() {
            pod.run("ip", &["route", "add", route, "169.254.0.0/16"]);
        }
        let port = pod.serve_as("the sidecar");
        assert!(pod.who_answers(METADATA_ADDRESS).is_err(), "{route}");
        let [up, addresses, _] = pod.network();
        pod.redirect_to(port);
        assert_eq!(pod.who_answers(METADATA_ADDRESS).unwrap(), "the sidecar", "{route}");
        let network = pod.network();
        assert_eq!(network[0], up);
        let added: Vec<&str> = network[1].lines().filter(|line| !addresses.contains(line)).collect();
        let expected = "inet 169.254.169.254/32 scope host lo";
        assert!(matches!(added[..], [line] if line.contains(expected)), "{added:?}");
        pod.redirect_to(port);
        assert_eq!((pod.network(), pod.rules()), (network, table(port)));
        assert_eq!(pod.who_answers(METADATA_ADDRESS).unwrap(), "the sidecar", "{route}");
        // The address is the pod's own now: who asks for another port of it is refused at once.
        let other = SocketAddrV4::new(*METADATA_ADDRESS.ip(), 443);
        assert_eq!(pod.who_answers(other).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
