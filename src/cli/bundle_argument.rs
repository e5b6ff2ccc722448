//! The BUNDLE argument of most commands: a folder, or a bundle on the Hugging Face hub.

use std::path::{Path, PathBuf};

use candle_core::Device;
use rnn_zoo::hub::{self, BundleAddress, Endpoint};
use rnn_zoo::inference::Model;
use rnn_zoo::{Error, Result};

/// A BUNDLE argument: the folder, fetched first if the argument is `hf://OWNER/NAME[@REVISION]`, and the name that the
/// user gave it.
pub struct Bundle<'a> {
    argument: &'a str,
    path: PathBuf,
}

impl<'a> Bundle<'a> {
    /// Find the bundle of an argument.
    ///
    /// # Errors
    /// If the address has another form, or the bundle cannot be fetched.
    pub fn find(argument: &'a str) -> Result<Self> {
        if argument.is_empty() {
            let problem = "is empty; expected the folder of a bundle, or hf://OWNER/NAME";
            return Err(Error::invalid("BUNDLE", problem));
        }
        let path = match BundleAddress::parse(argument)? {
            Some(address) => hub::bundle(&Endpoint::from_env()?, &address)?,
            None => argument.into(),
        };
        Ok(Self { argument, path })
    }

    /// Return the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Return the same error, about the files of the bundle as the user knows them: `hf://OWNER/NAME/config.json`
    /// instead of a path in the cache.
    pub fn named(&self, error: Error) -> Error {
        let Error::File { path, problem } = error else { return error };
        let path = match path.strip_prefix(&self.path) {
            Ok(file) if file == Path::new("") => self.argument.into(),
            Ok(file) => Path::new(self.argument).join(file),
            Err(_) => path,
        };
        Error::File { path, problem }
    }
}

/// Load the model of a BUNDLE argument. Errors name the model as the user typed it.
///
/// # Errors
/// If the bundle cannot be fetched or loaded.
pub fn load_model(argument: &str, device: &Device) -> Result<Model> {
    let bundle = Bundle::find(argument)?;
    let model = Model::load(bundle.path(), device).map_err(|error| bundle.named(error))?;
    Ok(model.named(argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_files_of_the_hub_by_their_address() {
        let bundle = Bundle { argument: "hf://a/b", path: "/cache/models--a--b/snapshots/0".into() };
        let shown = |path: &Path| bundle.named(Error::file(path, "is damaged")).to_string();
        assert_eq!(shown(bundle.path()), "hf://a/b: is damaged");
        assert_eq!(shown(&bundle.path().join("config.json")), "hf://a/b/config.json: is damaged");
        assert_eq!(shown(Path::new("/cache/other")), "/cache/other: is damaged");
        let local = Bundle { argument: "runs/m", path: "runs/m".into() };
        assert_eq!(local.named(Error::file("runs/m/config.json", "x")).to_string(), "runs/m/config.json: x");
    }
}
