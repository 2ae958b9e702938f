//! A network namespace, who serves in it, and the program run in it.

use std::fs::{File, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use podbadge_sidecar_core::contract::{METADATA_ADDRESS, PASS_THROUGH, PORT, REDIRECT};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// Nothing here leaves the machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Of the node that a routed pod is on, where it serves on ports 80 and 443 of this and the metadata address.
pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// As the container runtime starts the injected init container, by `setpriv`.
pub(crate) const INJECTED: [&str; 3] = ["--bounding-set=-all,+net_admin", "--inh-caps=-all", "--no-new-privs"];

/// A network of its own, for as long as the process that holds it.
pub(crate) struct Namespace {
    holder: Child,
}

impl Namespace {
    /// With what `ip` makes of the lines of `set_up`.
    pub(crate) fn new(set_up: &str) -> Self {
        // It ends with its input, so with this process, however that comes about.
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        let namespace = Self { holder };
        for line in set_up.lines() {
            namespace.run("ip", &line.split_whitespace().collect::<Vec<_>>());
        }
        namespace
    }

    /// A pod with a default route to its node; the metadata service answers there.
    pub(crate) fn routed() -> (Self, Self) {
        let node = Self::new("link set lo up");
        let pod = Self::new(&format!(
            "link set lo up\n\
             link add eth0 type veth peer name pod netns {}\n\
             address add 10.9.0.2/24 dev eth0\n\
             link set eth0 up",
            node.holder.id()
        ));
        for line in [
            format!("address add {NODE}/24 dev pod"),
            format!("address add {}/32 dev pod", METADATA_ADDRESS.ip()),
            "link set pod up".to_owned(),
        ] {
            node.run("ip", &line.split_whitespace().collect::<Vec<_>>());
        }
        pod.run("ip", &["route", "add", "default", "via", &NODE.to_string()]);
        for port in [80, 443] {
            node.serve((Ipv4Addr::UNSPECIFIED, port).into(), "the node");
        }
        (pod, node)
    }

    /// Does something in this network, on a thread of its own, since a thread stays where it was moved.
    pub(crate) fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The output of a program that must succeed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.inside(|| Command::new(program).args(arguments).output().unwrap());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}: {error}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// All rules of all tables.
    pub(crate) fn rules(&self) -> String {
        self.run("nft", &["list", "ruleset"])
    }

    /// Which links are up, and the addresses and routes of IPv4. What the kernel changes by itself later on, such as a
    /// link's carrier and the state of an IPv6 address, is left out.
    pub(crate) fn network(&self) -> [String; 3] {
        let up = self.run("ip", &["-oneline", "link", "show", "up"]);
        let up = up.lines().map(|line| line.split(' ').nth(1).unwrap_or_default()).collect();
        let addresses = self.run("ip", &["-4", "-oneline", "address"]);
        [up, addresses, self.run("ip", &["-4", "route", "show", "table", "all"])]
    }

    /// Answers every request to `address` with `name`, until this test program ends; returns the address.
    pub(crate) fn serve(&self, address: SocketAddr, name: &'static str) -> SocketAddr {
        let listener = self.inside(|| TcpListener::bind(address).unwrap());
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, name);
            }
        });
        address
    }

    /// Serves on a free loopback port, as the sidecar does; returns the port.
    pub(crate) fn serve_as(&self, name: &'static str) -> u16 {
        self.serve((Ipv4Addr::LOCALHOST, 0).into(), name).port()
    }

    /// Who answers at `address`.
    pub(crate) fn who_answers(&self, address: impl Into<SocketAddr>) -> io::Result<String> {
        let address = address.into();
        self.inside(|| get(address))
    }

    /// `podbadge-sidecar redirect` with `privileges` as `setpriv` reads them.
    pub(crate) fn redirect(&self, port: &str, privileges: &[&str]) -> Output {
        self.inside(|| {
            let mut command = Command::new("setpriv");
            command.args(privileges).arg(&PROGRAM.path).arg(REDIRECT).env_clear().env(PORT, port).output().unwrap()
        })
    }

    /// The same, where the sidecar may call the real service.
    pub(crate) fn redirect_others(&self, port: u16) {
        let output = self.inside(|| {
            let mut command = Command::new("setpriv");
            command.args(INJECTED).arg(&PROGRAM.path).arg(REDIRECT).env_clear();
            command.env(PORT, port.to_string()).env(PASS_THROUGH, "/metadata/instance").output().unwrap()
        });
        assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    }

    /// The same as it is injected, where it must succeed and has nothing to say.
    pub(crate) fn redirect_to(&self, port: u16) {
        let output = self.redirect(&port.to_string(), &INJECTED);
        assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// One request, as `curl` sends it; the body of the answer.
pub(crate) fn get(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", address.ip())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn answer(mut stream: TcpStream, name: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    // To the empty line, as closing with something unread would reset the connection.
    while !lines.next().transpose()?.unwrap_or_default().is_empty() {}
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())
}

/// The program where every user may run it.
struct Program {
    path: PathBuf,
    _folder: TempDir,
}

static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let path = folder.path().join("podbadge-sidecar");
    std::fs::copy(env!("CARGO_BIN_EXE_podbadge-sidecar"), &path).unwrap();
    Program { path, _folder: folder }
});
