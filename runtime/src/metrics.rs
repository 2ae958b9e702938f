//! Metrics: one registry per process, made in `main`, handed to the parts that register into it, then frozen for
//! `/metrics`.

use std::{fmt, sync::Arc};

use prometheus_client::{encoding::text, metrics::info::Info};

pub use prometheus_client::registry::Registry;

/// The media type of [`Metrics::render`], OpenMetrics 1.0.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry whose names all begin with `prefix` (such as `podbadge_webhook`) and that already says which `version`
/// runs, as `<prefix>_build_info{version=".."} 1`. Parts take `&mut Registry`, often a
/// [`Registry::sub_registry_with_prefix`], and register themselves.
#[must_use]
pub fn registry(prefix: &str, version: &'static str) -> Registry {
    let mut registry = Registry::with_prefix(prefix);
    registry.register("build", "The version that runs", Info::new([("version", version)]));
    registry
}

/// Everything registered, ready to be scraped. Clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

// === impl Metrics ===

impl From<Registry> for Metrics {
    fn from(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }
}

impl Metrics {
    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// If a metric's own encoding fails.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn names_carry_the_prefix_and_the_version_is_told() {
        let mut registry = registry("podbadge_test", "1.2.3");
        let seen = Counter::<u64>::default();
        registry.sub_registry_with_prefix("certs").register("reloads", "Reloads", seen.clone());
        seen.inc();
        let text = Metrics::from(registry).render().unwrap();
        assert!(text.contains("podbadge_test_certs_reloads_total 1\n"), "{text}");
        assert!(text.contains("podbadge_test_build_info{version=\"1.2.3\"} 1\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
