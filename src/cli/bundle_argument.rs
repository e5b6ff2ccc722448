//! The BUNDLE argument of most commands: a folder, or a bundle on the Hugging Face hub.

use std::path::PathBuf;

use candle_core::Device;
use rnn_zoo::data::hub::{self, Endpoint};
use rnn_zoo::inference::Model;
use rnn_zoo::{Error, Result};

/// Load the model of a BUNDLE argument. Errors name the model as the user typed it.
///
/// # Errors
/// If the bundle cannot be fetched or loaded.
pub fn load_model(argument: &str, device: &Device) -> Result<Model> {
    Ok(Model::load(&bundle_path(argument)?, device)?.named(argument))
}

/// The folder of a BUNDLE argument, fetched first if it is `hf://OWNER/NAME`.
///
/// # Errors
/// If the address has another form, or the bundle cannot be fetched.
pub fn bundle_path(argument: &str) -> Result<PathBuf> {
    match hub::bundle_address(argument) {
        Some((owner, name)) => hub::bundle(&Endpoint::from_env()?, owner, name),
        None if argument.starts_with("hf://") => {
            Err(Error::file(argument, "is not the address of a bundle on the hub; expected hf://OWNER/NAME"))
        }
        None => Ok(argument.into()),
    }
}
