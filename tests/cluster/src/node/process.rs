//! A container as a process: namespaces, root file system, user, capabilities, environment.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Container, SecurityContext};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::pod::Instance;
use super::variables;
use super::{log_file, variables::expand};

const ROOTFS: &str = include_str!("rootfs.sh");
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What container runtimes leave to root.
const CAPABILITIES: [&str; 14] = [
    "audit_write",
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "mknod",
    "net_bind_service",
    "net_raw",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_chroot",
];

/// A container's first process. Dropping it kills it.
pub(super) struct Process(Child);

/// The way into a running container.
pub(super) struct Inside {
    pid: Pid,
    /// What puts a further program into the container's user and environment.
    dressed: Vec<String>,
}

// === impl Process ===

impl Process {
    pub(super) async fn launch(instance: &Instance, container: &Container) -> Result<(Self, Inside)> {
        let image = instance.image(container)?;
        let environment = variables::resolve(instance, container).await?;
        let dressed = dress(instance, container, image.user, &environment)?;
        let command = match &container.command {
            Some(command) => command.iter().map(|word| expand(word, &environment)).collect(),
            None => image.entrypoint.clone(),
        };
        if command.is_empty() {
            bail!("neither the pod nor the image names a command");
        }
        let arguments = container.args.iter().flatten().map(|word| expand(word, &environment));

        let root = instance.folder.join("roots").join(&container.name);
        fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
        let mut launcher = launcher(instance);
        launcher.arg(&root).args(mounts(instance, container)?).arg("--");
        let read_only = context(container).and_then(|context| context.read_only_root_filesystem) == Some(true);
        launcher.arg(if read_only { "ro" } else { "rw" }).args(&dressed).args(command).args(arguments);

        let log = log(&instance.folder, &container.name)?;
        let child = launcher
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("nsenter cannot be started")?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).context("the process has ended")?;
        Ok((Self(child), Inside { pid, dressed }))
    }

    /// The exit code; 128 and the signal's number for a killed one, as container runtimes say it.
    pub(super) async fn ended(&mut self) -> i32 {
        self.0.wait().await.map_or(255, code)
    }
}

// === impl Inside ===

impl Inside {
    /// Asks the first process to end, as container runtimes do.
    pub(super) fn terminate(&self) {
        // It may have ended meanwhile.
        let _: rustix::io::Result<()> = kill_process(self.pid, Signal::TERM);
    }

    /// Kills whatever the container still runs.
    pub(super) fn kill(&self) {
        let _: rustix::io::Result<()> = kill_process_group(self.pid, Signal::KILL);
    }

    /// A command beside the container's own, in all its namespaces.
    pub(super) fn exec(&self, command: &[String]) -> Command {
        let mut exec = Command::new("nsenter");
        exec.args(["--target", &self.pid.to_string(), "--mount", "--net", "--root", "--wd=/"])
            .args(&self.dressed)
            .args(command)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        exec
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Enters the pod's network and a new mount namespace; the root file system's arguments follow.
fn launcher(instance: &Instance) -> Command {
    let unshare = ["unshare", "--mount", "sh", "-c", ROOTFS, "rootfs.sh"];
    let mut command;
    match &instance.network {
        Some(network) => {
            command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/{}", network.namespace)).args(unshare);
        }
        None => {
            command = Command::new(unshare[0]);
            command.args(&unshare[1..]);
        }
    }
    command
}

/// The image's files, the hosts file and the container's volumes.
fn mounts(instance: &Instance, container: &Container) -> Result<Vec<String>> {
    let mut mounts = Vec::new();
    let mut mount = |access: &str, source: &Path, target: &Path| {
        mounts.extend([access.to_owned(), source.display().to_string(), target.display().to_string()]);
    };
    for (inside, outside) in &instance.image(container)?.holds {
        mount("ro", outside, inside);
    }
    mount("ro", &instance.folder.join("hosts"), Path::new("/etc/hosts"));
    for wanted in container.volume_mounts.iter().flatten() {
        let folder: &PathBuf =
            instance.volumes.get(&wanted.name).with_context(|| format!("no volume {}", wanted.name))?;
        let source = wanted.sub_path.as_ref().map_or_else(|| folder.clone(), |path| folder.join(path));
        let access = if wanted.read_only == Some(true) { "ro" } else { "rw" };
        mount(access, &source, Path::new(&wanted.mount_path));
    }
    Ok(mounts)
}

/// `setpriv` and `env`: user, groups, capabilities, and exactly these variables.
fn dress(
    instance: &Instance,
    container: &Container,
    image_user: u32,
    environment: &[(String, String)],
) -> Result<Vec<String>> {
    let of_pod = instance.spec.security_context.as_ref();
    let of_container = context(container);
    let user = of_container
        .and_then(|context| context.run_as_user)
        .or(of_pod.and_then(|context| context.run_as_user))
        .unwrap_or(i64::from(image_user));
    let non_root =
        of_container.and_then(|context| context.run_as_non_root).or(of_pod.and_then(|context| context.run_as_non_root));
    if user == 0 && non_root == Some(true) {
        bail!("container has runAsNonRoot and image will run as root");
    }
    let group = of_container
        .and_then(|context| context.run_as_group)
        .or(of_pod.and_then(|context| context.run_as_group))
        .unwrap_or(0);
    let groups: Vec<String> = of_pod
        .into_iter()
        .flat_map(|context| context.fs_group.iter().chain(context.supplemental_groups.iter().flatten()))
        .map(i64::to_string)
        .collect();

    let mut dressed = vec!["setpriv".to_owned(), format!("--reuid={user}"), format!("--regid={group}")];
    dressed.push(match groups.is_empty() {
        true => "--clear-groups".to_owned(),
        false => format!("--groups={}", groups.join(",")),
    });
    dressed.push(format!("--bounding-set=-all{}", capabilities(of_container)));
    if of_container.and_then(|context| context.allow_privilege_escalation) == Some(false) {
        dressed.push("--no-new-privs".to_owned());
    }
    dressed.extend(["env".to_owned(), "--ignore-environment".to_owned()]);
    if let Some(folder) = &container.working_dir {
        dressed.push(format!("--chdir={folder}"));
    }
    if environment.iter().all(|(name, _)| name != "PATH") {
        dressed.push(format!("PATH={PATH}"));
    }
    dressed.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
    Ok(dressed)
}

fn context(container: &Container) -> Option<&SecurityContext> {
    container.security_context.as_ref()
}

fn capabilities(context: Option<&SecurityContext>) -> String {
    let wanted = context.and_then(|context| context.capabilities.as_ref());
    let dropped: Vec<String> = wanted
        .and_then(|wanted| wanted.drop.clone())
        .unwrap_or_default()
        .iter()
        .map(|name| name.to_lowercase())
        .collect();
    let added = wanted.and_then(|wanted| wanted.add.clone()).unwrap_or_default();
    CAPABILITIES
        .iter()
        .filter(|&&name| !dropped.iter().any(|dropped| dropped == "all" || dropped == name))
        .map(|name| format!(",+{name}"))
        .chain(added.iter().map(|name| format!(",+{}", name.to_lowercase())))
        .collect()
}

fn log(folder: &Path, container: &str) -> Result<File> {
    let path = log_file(folder, container);
    OpenOptions::new().create(true).append(true).open(&path).with_context(|| path.display().to_string())
}
