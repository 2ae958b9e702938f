use std::{
    fs,
    os::unix::fs::symlink,
    sync::{Arc, Mutex},
};

use super::*;
use crate::{
    bundle::Bundle,
    fake::{BASE, names},
    issue,
    log::Lines,
    policy::Policy,
    state::Whole,
};

const EVERY: Duration = Duration::from_secs(10);

/// A volume as the kubelet keeps it: files link to `..data`, which links to a folder a version.
struct Volume(tempfile::TempDir);

impl Volume {
    fn new() -> Self {
        let volume = Self(tempfile::tempdir().unwrap());
        for name in [TLS_CERT, TLS_KEY] {
            symlink(format!("..data/{name}"), volume.0.path().join(name)).unwrap();
        }
        volume
    }

    fn swap(&self, version: &str, chain: &[u8], key: &[u8]) {
        let root = self.0.path();
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join(TLS_CERT), chain).unwrap();
        fs::write(root.join(version).join(TLS_KEY), key).unwrap();
        symlink(version, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    }

    fn hold(&self, version: &str, whole: &Whole) {
        self.swap(version, whole.leaf.chain_pem().as_bytes(), whole.leaf.key().pem());
    }
}

fn made(days_ago: u32) -> Whole {
    let ago = Duration::from_secs(24 * 60 * 60) * days_ago;
    issue::whole(&names(), &Policy::default(), &Bundle::default(), BASE - ago).unwrap()
}

struct Watch {
    serving: Serving,
    events: Arc<Mutex<Vec<Event>>>,
    // The watch itself runs here, so that a test decides when it looks.
    task: tokio::task::JoinHandle<Infallible>,
}

impl Watch {
    fn start(volume: &Volume) -> Self {
        let (serving, events) = (Serving::default(), Arc::new(Mutex::new(Vec::new())));
        let on = {
            let events = Arc::clone(&events);
            move |event| events.lock().unwrap().push(event)
        };
        let task = tokio::spawn(watch(volume.0.path().to_owned(), names(), EVERY, serving.clone(), || BASE, on));
        Self { serving, events, task }
    }

    /// Waits for the next events, up to a few looks.
    async fn events(&self) -> Vec<Event> {
        for _ in 0..3 {
            tokio::time::sleep(EVERY).await;
            let events = std::mem::take(&mut *self.events.lock().unwrap());
            if !events.is_empty() {
                return events;
            }
        }
        Vec::new()
    }

    fn generation(&self) -> u64 {
        assert!(!self.task.is_finished());
        self.serving.current().map_or(0, |current| current.generation)
    }
}

fn published(generation: u64, whole: &Whole) -> Event {
    Event::Published { generation, not_after: whole.leaf.validity().not_after }
}

#[tokio::test(start_paused = true)]
async fn a_swapped_link_is_followed_again_and_again() {
    let volume = Volume::new();
    let (one, two, three) = (made(0), made(1), made(2));
    volume.hold("1", &one);
    let watch = Watch::start(&volume);
    assert_eq!(watch.events().await, [published(1, &one), Event::Ready]);
    volume.hold("2", &two);
    assert_eq!(watch.events().await, [published(2, &two)]);
    volume.hold("3", &three);
    assert_eq!(watch.events().await, [published(3, &three)]);
    assert_eq!(watch.events().await, [], "unchanged files are no news");
    assert_eq!(watch.serving.current().unwrap().material.chain(), three.leaf.chain());
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_the_end_by_rfc_3339() {
    let (lines, volume) = (Lines::kept(), Volume::new());
    volume.hold("1", &made(0));
    Watch::start(&volume).events().await;
    let lines = lines.with("Serving a certificate from files");
    assert!(lines[0].contains(r#""not_after":"2030-04-01T00:00:00Z""#), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_told_and_the_last_good_one_stays() {
    let volume = Volume::new();
    let (one, two, expired) = (made(0), made(0), made(91));
    volume.hold("1", &one);
    let watch = Watch::start(&volume);
    watch.events().await;
    volume.swap("2", one.leaf.chain_pem().as_bytes(), two.leaf.key().pem());
    assert!(watch.events().await.contains(&Event::Failed(Step::ReadFiles)), "a key of another pair");
    volume.swap("3", b"", b"");
    assert!(watch.events().await.contains(&Event::Failed(Step::ReadFiles)), "emptied");
    volume.hold("4", &expired);
    assert!(watch.events().await.contains(&Event::Failed(Step::ReadFiles)), "expired");
    fs::remove_file(volume.0.path().join("..data")).unwrap();
    assert!(watch.events().await.contains(&Event::Failed(Step::ReadFiles)), "gone");
    assert_eq!(watch.generation(), 1);
    assert_eq!(watch.serving.current().unwrap().material.chain(), one.leaf.chain());

    volume.hold("5", &two);
    let events = loop {
        let events = watch.events().await;
        if events.contains(&Event::Recovered) {
            break events;
        }
    };
    assert!(events.contains(&published(2, &two)), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn files_may_come_after_the_start() {
    let volume = Volume::new();
    let watch = Watch::start(&volume);
    assert!(watch.events().await.contains(&Event::Failed(Step::ReadFiles)));
    assert_eq!(watch.generation(), 0);
    let one = made(0);
    volume.hold("1", &one);
    let events = watch.events().await;
    for expected in [published(1, &one), Event::Recovered, Event::Ready] {
        assert!(events.contains(&expected), "{expected:?} is not in {events:?}");
    }
}

#[tokio::test]
async fn errors_name_the_file_and_what_is_wrong() {
    let volume = Volume::new();
    let directory = volume.0.path();
    let load = || async { load(directory, &names(), None, BASE).await.err().map(|error| error.to_string()) };
    let text = load().await.unwrap();
    assert_eq!(text, format!("cannot read {}/tls.crt: No such file or directory (os error 2)", directory.display()));
    let (whole, other) = (made(0), made(0));
    volume.swap("1", whole.leaf.chain_pem().as_bytes(), other.leaf.key().pem());
    let text = load().await.unwrap();
    let wrong = "holds a private key that does not belong to the certificate";
    assert_eq!(text, format!("{} {wrong}", directory.display()));
    volume.hold("2", &made(91));
    let text = load().await.unwrap();
    assert!(text.ends_with("holds a certificate that expired at 2029-12-31T00:00:00Z"), "{text}");
    volume.swap("3", whole.leaf.chain_pem().as_bytes(), b"-----BEGIN PRIVATE KEY-----\nhush\n");
    let text = load().await.unwrap();
    assert!(text.contains("holds no readable PEM private key") && !text.contains("hush"), "{text}");
    volume.hold("4", &whole);
    assert_eq!(load().await, None);
}
