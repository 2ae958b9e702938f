//! Helm, and what it renders.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize as _;
use serde_json::Value;

/// The namespace of the release `podbadge`.
pub(crate) const NAMESPACE: &str = "podbadge-system";
/// The oldest Kubernetes that is supported.
const KUBERNETES: &str = "1.30.0";
/// What an installation must say, however little else it says.
const NEEDED: &str = "image: {registry: registry.example.com}";

/// The program.
pub(crate) struct Helm {
    pub(crate) program: PathBuf,
}

/// All objects of a release, hooks too.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) objects: Vec<Value>,
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

pub(crate) fn chart() -> PathBuf {
    root().join("manifests/chart")
}

impl Helm {
    /// Renders with the values of a YAML text, and where it names no registry with one.
    ///
    /// # Errors
    /// What Helm says.
    pub(crate) fn render(&self, values: &str) -> Result<Rendered> {
        self.render_of(&chart(), values)
    }

    /// Renders for a release in another namespace.
    pub(crate) fn render_in(&self, namespace: &str, values: &str) -> Result<Rendered> {
        // Of two namespaces the second wins.
        parsed(&self.of(
            &chart(),
            &["template", "podbadge", "--kube-version", KUBERNETES],
            &["--namespace", namespace],
            values,
        )?)
    }

    /// Renders a copy of the chart.
    pub(crate) fn render_of(&self, chart: &Path, values: &str) -> Result<Rendered> {
        parsed(&self.of(chart, &["template", "podbadge", "--kube-version", KUBERNETES], &[], values)?)
    }

    /// The notes of an installation with these values. Helm shows them only to who has a cluster, so a copy of the chart has
    /// them in a document of its own.
    pub(crate) fn notes(&self, values: &str) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let copied = Command::new("cp").arg("-R").arg(chart()).arg(folder.path()).status()?;
        anyhow::ensure!(copied.success(), "the chart cannot be copied");
        let copy = folder.path().join("chart");
        let notes = std::fs::read_to_string(copy.join("templates/NOTES.txt"))?;
        let document = "kind: Notes\ntext: |\n{{ include \"notes\" . | indent 2 }}\n";
        let template = format!("{{{{- define \"notes\" }}}}{notes}{{{{ end -}}}}\n{document}");
        std::fs::write(copy.join("templates/notes.yaml"), template)?;
        let arguments = ["template", "podbadge", "--kube-version", KUBERNETES, "--show-only", "templates/notes.yaml"];
        let text = self.of(&copy, &arguments, &[], values)?;
        let document =
            serde_norway::Deserializer::from_str(&text).map(Value::deserialize).next().context("no notes")??;
        Ok(document["text"].as_str().context("no text")?.to_owned())
    }

    /// Packs the chart into a folder.
    pub(crate) fn package(&self, folder: &Path) -> Result<()> {
        let mut command = Command::new(&self.program);
        let output = command.arg("package").arg(chart()).arg("--destination").arg(folder).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    pub(crate) fn lint(&self, values: &str) -> Result<()> {
        self.run(&["lint", "--strict", "--quiet"], values).map(drop)
    }

    fn run(&self, arguments: &[&str], values: &str) -> Result<String> {
        self.of(&chart(), arguments, &[], values)
    }

    fn of(&self, chart: &Path, arguments: &[&str], further: &[&str], values: &str) -> Result<String> {
        let (mut needed, mut file) = (tempfile::NamedTempFile::new()?, tempfile::NamedTempFile::new()?);
        needed.write_all(NEEDED.as_bytes())?;
        file.write_all(values.as_bytes())?;
        let mut command = Command::new(&self.program);
        // Of two files the second wins.
        let files =
            [needed.path(), file.path()].into_iter().flat_map(|path| [OsStr::new("--values"), path.as_os_str()]);
        command.args(arguments).arg(chart).args(["--namespace", NAMESPACE]).args(files).args(further);
        // No cluster is asked, whatever the machine knows of one.
        let output = command.env("KUBECONFIG", "/dev/null").output().context("helm cannot be started")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Rendered {
    /// The objects of a kind that are no hooks.
    pub(crate) fn all(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind && hook(object).is_none()).collect()
    }

    /// The one object of a kind.
    pub(crate) fn one(&self, kind: &str) -> Result<&Value> {
        match self.all(kind)[..] {
            [object] => Ok(object),
            ref objects => bail!("{} of kind {kind}", objects.len()),
        }
    }

    /// The value at a path such as `Deployment/spec/replicas`; null where there is none.
    pub(crate) fn at(&self, path: &str) -> Result<&Value> {
        let (kind, pointer) = path.split_once('/').context("a kind and a path")?;
        Ok(self.one(kind)?.pointer(&format!("/{pointer}")).unwrap_or(&Value::Null))
    }

    /// The webhook's container.
    pub(crate) fn container(&self) -> Result<&Value> {
        self.at("Deployment/spec/template/spec/containers/0")
    }

    /// Whether the webhook has the argument.
    pub(crate) fn has_argument(&self, argument: &str) -> Result<bool> {
        Ok(self.container()?["args"].as_array().is_some_and(|arguments| arguments.iter().any(|own| own == argument)))
    }

    /// A variable of the webhook.
    pub(crate) fn variable(&self, name: &str) -> Result<Option<&Value>> {
        let variables = self.container()?["env"].as_array().context("no variables")?;
        Ok(variables.iter().find(|variable| variable["name"] == name).map(|variable| &variable["value"]))
    }
}

fn parsed(text: &str) -> Result<Rendered> {
    let objects = serde_norway::Deserializer::from_str(text).map(Value::deserialize);
    let objects = objects.filter(|object| !matches!(object, Ok(Value::Null))).collect::<Result<_, _>>()?;
    Ok(Rendered { objects })
}

/// When Helm runs the object, if it is a hook.
pub(crate) fn hook(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"]["helm.sh/hook"].as_str()
}
