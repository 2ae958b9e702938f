//! What an installation is told.

use anyhow::{Result, ensure};

use crate::render::Helm;

/// Who evicts with one replica would wait for ever, and never be told; a test that must fail would be taken for a fault.
pub(crate) fn what_does_not_work_is_noted(helm: &Helm) -> Result<()> {
    const EVICTS_NOTHING: &str = "heal \"evict\" evicts nothing";
    const OF_THE_TEST: &str = "If mutatingWebhookNamespaceSelector leaves that namespace out, the test";
    for (values, words, expected) in [
        ("{heal: evict, replicaCount: 1}", EVICTS_NOTHING, true),
        ("heal: evict", EVICTS_NOTHING, false),
        ("replicaCount: 1", EVICTS_NOTHING, false),
        ("mutatingWebhookNamespaceSelector: {matchLabels: {a: b}}", OF_THE_TEST, true),
        ("", OF_THE_TEST, false),
        ("replicaCount: 1", "labelled pods are refused while it restarts", true),
        (
            "{replicaCount: 1, mutatingWebhookFailurePolicy: Ignore}",
            "labelled pods start without their identity while",
            true,
        ),
        ("{replicaCount: 1, mutatingWebhookFailurePolicy: Ignore}", "are refused while", false),
        ("tls: {mode: files, secretName: s}", "labelled pods are refused until somebody has written caBundle", true),
        (
            "{tls: {mode: files, secretName: s}, mutatingWebhookFailurePolicy: Ignore}",
            "labelled pods start without their identity until somebody",
            true,
        ),
        ("tls: {mode: files, secretName: s, caBundle: QUJD}", "has written caBundle", false),
        ("tls: {mode: cert-manager}", "has written caBundle", false),
    ] {
        let notes = helm.notes(values)?;
        ensure!(notes.contains(words) == expected, "{values}: {notes}");
    }
    Ok(())
}
