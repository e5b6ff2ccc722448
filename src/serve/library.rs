//! The bundles of the server, and their replacement while it runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::engine::Engine;
use super::metrics::Metrics;
use super::options::{BundleSource, Options};
use super::problem::Problem;
use super::report::report;
use crate::Result;
use crate::inference::Model;

/// The time between two checks of the files of the bundles.
const CHECK: Duration = Duration::from_secs(1);

/// The files of a bundle that a new model changes.
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// The bundles.
pub(super) struct Library {
    entries: Vec<Entry>,
}

/// A bundle.
struct Entry {
    source: BundleSource,
    engine: RwLock<Arc<Engine>>,
}

/// The size and the time of each of a bundle's files.
type Stamp = Vec<Option<(u64, SystemTime)>>;

impl Library {
    /// Load all bundles.
    ///
    /// # Errors
    /// If one of them cannot be loaded.
    pub(super) fn load(options: &Options, metrics: &Metrics) -> Result<(Self, Vec<Stamp>)> {
        let (mut entries, mut stamps) = (vec![], vec![]);
        for source in &options.bundles {
            // Before the load, so that a change during it is seen later.
            stamps.push(stamp(&source.path));
            let engine = RwLock::new(Arc::new(load(source, options, metrics)?));
            entries.push(Entry { source: source.clone(), engine });
        }
        Ok((Self { entries }, stamps))
    }

    /// The bundle of a request, which need not name one if there is only one.
    pub(super) fn get(&self, name: Option<&str>) -> Result<(&str, Arc<Engine>), Problem> {
        let entry = match (name, &self.entries[..]) {
            (None, [only]) => Some(only),
            (name, entries) => entries.iter().find(|entry| Some(entry.source.name.as_str()) == name),
        };
        match (entry, name) {
            (Some(entry), _) => Ok((&entry.source.name, entry.engine())),
            (None, Some(name)) => Err(Problem::no_model(name, &self.names())),
            (None, None) if self.entries.is_empty() => {
                Err(Problem::field("model", "no bundle is served; start the server with one"))
            }
            (None, None) => {
                Err(Problem::field("model", format!("is missing; expected one of {}", self.names())))
            }
        }
    }

    /// All bundles in the order of the command line.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Arc<Engine>)> {
        self.entries.iter().map(|entry| (entry.source.name.as_str(), entry.engine()))
    }

    fn names(&self) -> String {
        self.entries.iter().map(|entry| entry.source.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Check the files once a second. A bundle that has changed is loaded beside the old one and takes over new
    /// requests; running ones end with the old. One that cannot be loaded is reported once, and the old one stays.
    pub(super) async fn watch(
        self: Arc<Self>,
        options: Arc<Options>,
        metrics: Arc<Metrics>,
        mut seen: Vec<Stamp>,
    ) {
        loop {
            tokio::time::sleep(CHECK).await;
            for (entry, seen) in self.entries.iter().zip(&mut seen) {
                let path = entry.source.path.clone();
                let Ok(found) = tokio::task::spawn_blocking(move || stamp(&path)).await else { continue };
                if found == *seen {
                    continue;
                }
                *seen = found;
                let (source, options, metrics) =
                    (entry.source.clone(), Arc::clone(&options), Arc::clone(&metrics));
                let loaded = tokio::task::spawn_blocking(move || load(&source, &options, &metrics)).await;
                let name = &entry.source.name;
                match loaded {
                    Ok(Ok(engine)) => {
                        *entry.engine.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(engine);
                        report(&format!("{name}: the bundle has changed; the new one is served"));
                    }
                    Ok(Err(_)) if !entry.source.path.exists() => {
                        report(&format!(
                            "{name}: its folder is gone; the bundle is still served from memory"
                        ));
                    }
                    Ok(Err(error)) => {
                        let problem = "has changed but cannot be loaded; the old one is still served";
                        report(&format!("{name}: {problem}: {error}"));
                    }
                    Err(_) => report(&format!("{name}: loading failed; the old one is served")),
                }
            }
        }
    }
}

impl Entry {
    fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn load(source: &BundleSource, options: &Options, metrics: &Metrics) -> Result<Engine> {
    let model = Model::load(&source.path, &options.device)?.named(&source.name);
    let places = (options.limits.streams, options.limits.queue);
    let changed = stamp(&source.path).into_iter().flatten().map(|(_, time)| time).max();
    let created = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default().as_secs();
    Engine::start(model, created, options.precision, places, metrics.of(&source.name))
}

fn stamp(path: &Path) -> Stamp {
    let of = |name: &&str| -> Option<(u64, SystemTime)> {
        let file: PathBuf = path.join(name);
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    FILES.iter().map(of).collect()
}
