//! Programs of others that the cluster tests run, built from Go modules that pin them.

use std::fs;
use std::path::Path;

use crate::process::{Failure, command, failed, run};

/// Builds packages of a module into a folder, each by its program's name; what is there is kept.
pub(crate) fn build(
    module: &Path,
    folder: &Path,
    programs: &[(&str, &str)],
    linker_flags: &str,
) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for (program, package) in programs {
        let (last, next) = (folder.join(program), folder.join(program).with_extension("part"));
        if last.is_file() {
            continue;
        }
        run(command("go")
            .current_dir(module)
            .env("CGO_ENABLED", "0")
            .args(["build", "-trimpath", "-ldflags", linker_flags, "-o"])
            .arg(&next)
            .arg(package))?;
        // A build that is cut short leaves nothing that looks whole.
        fs::rename(&next, &last).map_err(|error| failed(&last, &error))?;
    }
    Ok(())
}

/// The version of `required` that the go.mod of a module asks for, as `1.36.3`.
pub(crate) fn version(module: &Path, required: &str) -> Result<String, Failure> {
    let manifest = module.join("go.mod");
    let text = fs::read_to_string(&manifest).map_err(|error| failed(&manifest, &error))?;
    match version_in(&text, required) {
        Some(version) => Ok(version.to_owned()),
        None => Err(Failure::failed(format!("{} requires no {required}", manifest.display()))),
    }
}

fn version_in<'a>(manifest: &'a str, required: &str) -> Option<&'a str> {
    manifest.lines().find_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("require ").unwrap_or(line);
        let version = line.strip_prefix(required)?.strip_prefix(" v")?;
        version.split_whitespace().next()
    })
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_read_from_either_form_of_require() {
        let required = "k8s.io/kubernetes";
        let block =
            "module x\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.6.5\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\n";
        assert_eq!(version_in(block, required), Some("1.36.3"));
        assert_eq!(version_in("require k8s.io/kubernetes v1.30.14\n", required), Some("1.30.14"));
        assert_eq!(version_in("require k8s.io/kubernetes-x v1.30.14\n", required), None);
    }
}
